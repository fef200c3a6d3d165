import type { Client } from '@elastic/elasticsearch'

import type { IndexedOptions } from '../../src/indexed.ts'
import { settingsFrom, type SettingsInput } from '../../src/runtime/settings.ts'
import type { WorkerKind } from '../../src/runtime/worker.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import { captured, recordingLogger, type Captured, type LogLine } from './captured.ts'
import type { CityRow } from './city.ts'

/** The application with its workers in this process. */
export interface Pipelined extends Captured {
  readonly pipeline: Pipeline
  readonly client: Client
  readonly index: string
  readonly workerLog: LogLine[]
  /** Starts workers; they stop at `dispose`, or with the returned function. */
  start(...kinds: WorkerKind[]): () => Promise<void>
  /** The document of a city as it is in the index, in real time, or undefined. */
  document(id: number | string): Promise<Record<string, unknown> | undefined>
  version(id: number | string): Promise<number | undefined>
}

export async function pipelined(
  settings: SettingsInput = {},
  indexed: IndexedOptions<CityRow> = {},
): Promise<Pipelined> {
  const app = await captured(settings, indexed)
  const workerLog: LogLine[] = []
  const { dataSource, space } = app
  const pipeline = await openPipeline(
    {
      dataSource,
      redis: space.redisUrl,
      elasticsearch: space.elasticsearchUrl,
      settings: settingsFrom({ ...settings, namespace: space.namespace }),
    },
    recordingLogger(workerLog),
  )
  await pipeline.init()
  const client = space.elasticsearch()
  const index = `${space.indexPrefix}cities`
  const stops: (() => Promise<void>)[] = []
  const get = (id: number | string): Promise<{ _source?: Record<string, unknown>; _version?: number }> =>
    client.get<Record<string, unknown>>({ index, id: String(id) }, { ignore: [404] })
  return {
    ...app,
    pipeline,
    client,
    index,
    workerLog,
    start: (...kinds) => {
      const stopping = new AbortController()
      const runs = pipeline.workers(kinds).map((worker) => worker.run(stopping.signal))
      const stop = async (): Promise<void> => {
        stopping.abort()
        await Promise.all(runs)
      }
      stops.push(stop)
      return stop
    },
    document: async (id) => (await get(id))._source,
    version: async (id) => (await get(id))._version,
    dispose: async () => {
      await Promise.all(stops.map((stop) => stop()))
      await pipeline.close()
      await app.dispose()
    },
  }
}
