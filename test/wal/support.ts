import { expect } from 'vitest'
import { DataSource, type DataSourceOptions } from 'typeorm'

import { settingsFrom, type SettingsInput } from '../../src/runtime/settings.ts'
import type { WorkerKind } from '../../src/runtime/worker.ts'
import { decodeMessages, type Message } from '../../src/streams/message.ts'
import { partitionsOf, type Lane, type Partition } from '../../src/streams/keys.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import { LogPart } from '../../src/wal/log-part.ts'
import type { LogSite } from '../../src/wal/site.ts'
import { dropSlot } from '../../src/wal/slot.ts'
import { isDrained } from '../../src/streams/inspect.ts'
import { eventually } from '../support/streams.ts'
import { recordingLogger, type LogLine } from '../support/captured.ts'
import { testSpace, type TestSpace } from '../support/services.ts'

/** An application whose streams are fed from the log of its database, in this process. */
export interface Followed {
  readonly space: TestSpace
  readonly dataSource: DataSource
  readonly pipeline: Pipeline
  readonly log: LogSite
  readonly part: LogPart
  readonly lines: LogLine[]
  /** Starts workers; they stop at `dispose`, or with the returned function. */
  start(...kinds: WorkerKind[]): () => Promise<void>
  /** The partition of the stream of an index, or of an embedded table. */
  partition(stream: string): Partition
  /** The messages in a lane. */
  messages(stream: string, lane?: Lane): Promise<Message[]>
  sql(text: string, parameters?: unknown[]): Promise<unknown>
  /** Waits until the log is published up to now. */
  passed(): Promise<void>
  /** Documents of an index when everything up to now is indexed, by their ids. */
  documents(index: string): Promise<Record<string, unknown>>
  dispose(): Promise<void>
}

/** @param startup - more settings of the server for every connection: `-c name=value` */
export async function followed(
  entities: DataSourceOptions['entities'],
  settings: SettingsInput = {},
  startup = '',
): Promise<Followed> {
  const space = await testSpace()
  const base = space.dataSourceOptions(entities as never)
  const extra = { options: `${(base.extra as { options: string }).options} ${startup}` }
  const dataSource = await new DataSource({ ...base, extra, synchronize: true }).initialize()
  const lines: LogLine[] = []
  const { redisUrl: redis, elasticsearchUrl: elasticsearch, namespace } = space
  const pipeline = await openPipeline(
    {
      dataSource,
      redis,
      elasticsearch,
      settings: settingsFrom({
        capture: 'wal',
        captureSchema: namespace,
        takeOverAfter: '1s',
        ...settings,
        namespace,
      }),
    },
    recordingLogger(lines),
  )
  const log = pipeline.log!
  const part = new LogPart(log)
  await part.apply()
  await pipeline.init()
  const client = space.redis()
  const stops: (() => Promise<void>)[] = []
  const partition = (stream: string): Partition => partitionsOf(namespace, stream, 1)[0]!
  const elastic = space.elasticsearch()
  const passed = async (): Promise<void> => {
    const [{ now }] = await dataSource.query<[{ now: string }]>(
      'SELECT pg_current_wal_insert_lsn()::text AS now',
    )
    await eventually(async () => {
      const [row] = await dataSource.query<{ done: boolean }[]>(
        'SELECT confirmed_flush_lsn >= $2::pg_lsn AS done FROM pg_replication_slots WHERE slot_name = $1',
        [log.names.slot, now],
      )
      expect(row?.done).toBe(true)
    })
  }
  return {
    space,
    dataSource,
    pipeline,
    log,
    passed,
    documents: async (index) => {
      await passed()
      // What the group "cascade" queues comes after its own stream is drained.
      for (const { partitions } of [...log.sources, ...log.sources])
        await eventually(async () => expect(await isDrained(client, partitions)).toBe(true))
      await elastic.indices.refresh({ index: `${space.indexPrefix}${index}` })
      const { hits } = await elastic.search({ index: `${space.indexPrefix}${index}`, size: 10_000 })
      return Object.fromEntries(hits.hits.map(({ _id, _source }) => [_id!, _source]))
    },
    part,
    lines,
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
    partition,
    messages: async (stream, lane = 'main') => {
      const entries = await client.xrange(partition(stream).keys[lane], '-', '+')
      return entries.flatMap(([, fields]) => decodeMessages(fields))
    },
    sql: (text, parameters) => dataSource.query(text, parameters),
    dispose: async () => {
      await Promise.all(stops.map((stop) => stop()))
      await dropSlot(dataSource, log.names.slot)
      await dataSource.query(`DROP PUBLICATION IF EXISTS "${log.names.publication}"`)
      await pipeline.close()
      await dataSource.destroy()
      await space.dispose()
    },
  }
}
