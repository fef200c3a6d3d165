import type { Client } from '@elastic/elasticsearch'
import { DataSource, type DataSourceOptions } from 'typeorm'

import { Redstream } from '../../src/redstream.ts'
import type { RedstreamConfig } from '../../src/runtime/config.ts'
import { settingsFrom } from '../../src/runtime/settings.ts'
import { partitionsOf } from '../../src/streams/keys.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import { recordingLogger, type LogLine } from './captured.ts'
import { testSpace, type TestSpace } from './services.ts'

/** A document as it is in the index. */
export interface Found {
  readonly id: string
  readonly routing?: string
  readonly body: Record<string, unknown>
}

/** An application with entities of any shape, and the workers that index them. */
export interface Shapes {
  readonly space: TestSpace
  readonly dataSource: DataSource
  readonly redstream: Redstream
  readonly pipeline: Pipeline
  readonly client: Client
  readonly log: LogLine[]
  /** Everything in an index when the streams are drained, by `_id`. */
  documents(name: string): Promise<Found[]>
  /** `_id`s of everything in an index when the streams are drained. */
  ids(name: string): Promise<string[]>
  /** The dead letters of a stream by row key, when the streams are drained. */
  letters(name: string): Promise<Record<string, { type: string; reason: string }>>
  dispose(): Promise<void>
}

/** An index of a test's own: the name behind the schema of its DataSource. */
export function indexNamed(name: string): (dataSource: DataSource) => string {
  return ({ options }) => `${(options as { schema: string }).schema}-${name}`
}

export async function startShapes(
  entities: DataSourceOptions['entities'],
  services?: RedstreamConfig['services'],
): Promise<Shapes> {
  const space = await testSpace()
  const options = { ...space.dataSourceOptions(entities as never), synchronize: true }
  const dataSource = await new DataSource(options).initialize()
  const log: LogLine[] = []
  const { namespace, redisUrl: redis, elasticsearchUrl: elasticsearch } = space
  const redstream = await Redstream.attach(dataSource, { redis, namespace, logger: recordingLogger(log) })
  const pipeline = await openPipeline(
    { dataSource, redis, elasticsearch, settings: settingsFrom({ namespace }), services },
    recordingLogger(log),
  )
  await pipeline.init()
  const stopping = new AbortController()
  const runs = pipeline.workers(['consumer']).map((worker) => worker.run(stopping.signal))
  const client = space.elasticsearch()
  const documents = async (name: string): Promise<Found[]> => {
    await redstream.drained()
    const index = space.indexPrefix + name
    await client.indices.refresh({ index })
    const { hits } = await client.search<Record<string, unknown>>({ index, size: 1_000 })
    return hits.hits
      .map(({ _id: id = '', _routing: routing, _source: body = {} }) =>
        routing === undefined ? { id, body } : { id, routing, body },
      )
      .toSorted((a, b) => (a.id < b.id ? -1 : 1))
  }
  return {
    space,
    dataSource,
    redstream,
    pipeline,
    client,
    log,
    documents,
    ids: async (name) => (await documents(name)).map(({ id }) => id),
    letters: async (name) => {
      await redstream.drained()
      const [partition] = partitionsOf(namespace, space.indexPrefix + name, 1)
      const letters = await space.redis().hgetall(partition!.keys.deadLetters)
      return Object.fromEntries(
        Object.entries(letters).map(([id, json]) => {
          const { type, reason } = JSON.parse(json) as { type: string; reason: string }
          return [id, { type, reason }]
        }),
      )
    },
    dispose: async () => {
      stopping.abort()
      await Promise.all(runs)
      await pipeline.close()
      await redstream.close()
      await dataSource.destroy()
      await space.dispose()
    },
  }
}
