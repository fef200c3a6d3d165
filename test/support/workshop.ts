import { DataSource, type EntityTarget, type ObjectLiteral } from 'typeorm'

import { Redstream, type AttachOptions } from '../../src/redstream.ts'
import { settingsFrom, type SettingsInput } from '../../src/runtime/settings.ts'
import type { WorkerKind } from '../../src/runtime/worker.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import { recordingLogger, type LogLine } from './captured.ts'
import { testSpace, type TestSpace } from './services.ts'

/** An application with entities of a test's own, and its workers in this process. */
export interface Workshop {
  readonly space: TestSpace
  readonly dataSource: DataSource
  readonly redstream: Redstream
  readonly pipeline: Pipeline
  readonly log: LogLine[]
  readonly workerLog: LogLine[]
  /** Starts the workers of a kind, for some streams or all; they stop at `dispose`, or with the returned function. */
  start(kind: WorkerKind, ...streams: string[]): () => Promise<void>
  /** Writes rows in one transaction that Redstream sees. */
  save<E extends ObjectLiteral>(entity: EntityTarget<E>, ...rows: object[]): Promise<void>
  /** The documents of an index by their ids. */
  documents(index: string): Promise<Record<string, unknown>>
  /**
   * Runs a write and everything that follows from it; returns the ids of the documents that were written again or
   * deleted.
   */
  touchedBy(index: string, write: () => Promise<unknown>): Promise<string[]>
  dispose(): Promise<void>
}

/** Its indices are named `<schema>-<index>`. */
export async function workshop(
  entities: readonly (abstract new (...args: never[]) => ObjectLiteral)[],
  options: AttachOptions = {},
  settings: SettingsInput = {},
): Promise<Workshop> {
  const space = await testSpace()
  const dataSource = await new DataSource({
    ...space.dataSourceOptions([...entities] as never),
    synchronize: true,
  }).initialize()
  const log: LogLine[] = []
  const workerLog: LogLine[] = []
  const { redisUrl: redis, elasticsearchUrl: elasticsearch, namespace } = space
  const redstream = await Redstream.attach(dataSource, {
    redis,
    namespace,
    logger: recordingLogger(log),
    ...options,
  })
  const pipeline = await openPipeline(
    {
      dataSource,
      redis,
      elasticsearch,
      settings: settingsFrom({ takeOverAfter: '1s', ...settings, namespace }),
    },
    recordingLogger(workerLog),
  )
  await pipeline.init()
  const client = space.elasticsearch()
  const stops: (() => Promise<void>)[] = []
  const hits = async (index: string) => {
    await client.indices.refresh({ index: `${space.indexPrefix}${index}` })
    const found = await client.search({ index: `${space.indexPrefix}${index}`, size: 10_000, version: true })
    return found.hits.hits
  }
  const versions = async (index: string): Promise<Map<string, number>> =>
    new Map((await hits(index)).map(({ _id, _version }) => [_id!, _version!]))
  return {
    space,
    dataSource,
    redstream,
    pipeline,
    log,
    workerLog,
    start: (kind, ...streams) => {
      const stopping = new AbortController()
      const runs = pipeline.workers([kind], streams).map((worker) => worker.run(stopping.signal))
      const stop = async (): Promise<void> => {
        stopping.abort()
        await Promise.all(runs)
      }
      stops.push(stop)
      return stop
    },
    save: async (entity, ...rows) => {
      await dataSource.getRepository(entity).save(rows as never[])
    },
    documents: async (index) =>
      Object.fromEntries((await hits(index)).map(({ _id, _source }) => [_id!, _source])),
    touchedBy: async (index, write) => {
      const before = await versions(index)
      await write()
      await redstream.drained()
      const after = await versions(index)
      const ids = new Set([...before.keys(), ...after.keys()])
      return [...ids].filter((id) => before.get(id) !== after.get(id)).toSorted()
    },
    dispose: async () => {
      await Promise.all(stops.map((stop) => stop()))
      await pipeline.close()
      await redstream.close()
      await dataSource.destroy()
      await space.dispose()
    },
  }
}
