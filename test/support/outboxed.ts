import { DataSource } from 'typeorm'
import { expect } from 'vitest'

import type { IndexedOptions } from '../../src/indexed.ts'
import { messagesIn, type OutboxEntry } from '../../src/outbox/entry.ts'
import { OutboxTable } from '../../src/outbox/outbox-table.ts'
import { Redstream, type AttachOptions } from '../../src/redstream.ts'
import { settingsFrom, type SettingsInput } from '../../src/runtime/settings.ts'
import type { Worker } from '../../src/runtime/worker.ts'
import { partitionsOf } from '../../src/streams/keys.ts'
import { decodeMessages, type Message } from '../../src/streams/message.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import { recordingLogger, type LogLine } from './captured.ts'
import { cityEntity, type CityRow } from './city.ts'
import { testSpace, type TestSpace } from './services.ts'

/** How a process reaches the database, where that matters. */
export interface ProcessDatabase {
  readonly url?: string
  readonly poolSize?: number
}

/** An application whose entity City goes through the outbox, and what its relays work with. */
export interface Outboxed {
  readonly space: TestSpace
  readonly dataSource: DataSource
  readonly redstream: Redstream
  readonly City: new () => CityRow
  readonly table: OutboxTable
  readonly settings: SettingsInput
  readonly log: LogLine[]
  readonly relayLog: LogLine[]
  readonly pipeline: Pipeline
  /** Another process' way to the same place; closed by `dispose`. */
  open(redis?: string, settings?: SettingsInput, database?: ProcessDatabase): Promise<Pipeline>
  /** Starts a relay; it stops at `dispose`, or with the returned function. */
  startRelay(pipeline?: Pipeline): () => Promise<void>
  /** The rows of the outbox. */
  entries(): Promise<(OutboxEntry & { problem: string | null })[]>
  /** The messages that wait in the outbox. */
  waiting(): Promise<Message[]>
  /** The messages in a lane. */
  published(lane: 'main' | 'bulk' | 'delay'): Promise<Message[]>
  /** Waits until the outbox is empty. */
  emptied(): Promise<void>
  city(name: string): CityRow
  dispose(): Promise<void>
}

export async function outboxed(
  attach: AttachOptions = {},
  indexed: IndexedOptions<CityRow> = {},
  others: (indexPrefix: string) => (new () => object)[] = () => [],
): Promise<Outboxed> {
  const space = await testSpace()
  const City = cityEntity(space.indexPrefix, indexed)
  const entities = [City, ...others(space.indexPrefix)]
  const connect = (synchronize: boolean, database: ProcessDatabase = {}): Promise<DataSource> =>
    new DataSource({ ...space.dataSourceOptions(entities), ...database, synchronize }).initialize()
  const dataSource = await connect(true)
  const captureSchema = `${space.schema}_o`
  const settings = { capture: 'outbox', captureSchema, namespace: space.namespace } as const
  const log: LogLine[] = []
  const relayLog: LogLine[] = []
  const table = new OutboxTable(dataSource, captureSchema)
  const closing: (() => Promise<unknown>)[] = []
  const open: Outboxed['open'] = async (redis = space.redisUrl, more = {}, database = {}) => {
    // A process of its own has connections of its own.
    const workers = await connect(false, database)
    const pipeline = await openPipeline(
      {
        dataSource: workers,
        redis,
        elasticsearch: space.elasticsearchUrl,
        settings: settingsFrom({ ...settings, ...more }),
      },
      recordingLogger(relayLog),
      { elasticsearch: false, redis: false },
    )
    closing.push(
      () => workers.destroy(),
      () => pipeline.close(),
    )
    return pipeline
  }
  const pipeline = await open()
  await pipeline.database.apply()
  const redstream = await Redstream.attach(dataSource, {
    ...settings,
    redis: space.redisUrl,
    logger: recordingLogger(log),
    ...attach,
  })
  const redis = space.redis()
  const [partition] = partitionsOf(space.namespace, `${space.indexPrefix}cities`, 1)
  const entries: Outboxed['entries'] = () =>
    dataSource.query(`SELECT id::text, kind, source, body, problem FROM ${table.quoted} ORDER BY id`)
  return {
    space,
    dataSource,
    redstream,
    City,
    table,
    settings,
    log,
    relayLog,
    pipeline,
    open,
    startRelay: (from = pipeline) => {
      const stopping = new AbortController()
      const [relay] = from.workers(['relay']) as [Worker]
      const run = relay.run(stopping.signal)
      const stop = async (): Promise<void> => {
        stopping.abort()
        await run
      }
      closing.push(stop)
      return stop
    },
    entries,
    waiting: async () => (await entries()).flatMap((entry) => messagesIn(entry)),
    published: async (lane) => {
      const found = await redis.xrange(partition!.keys[lane], '-', '+')
      return found.flatMap(([, fields]) => decodeMessages(fields))
    },
    emptied: () => expect.poll(entries).toEqual([]),
    city: (name) => Object.assign(new City(), { name, population: 0 }),
    dispose: async () => {
      for (const close of closing.toReversed()) await close()
      await redstream.close()
      await dataSource.query(`DROP SCHEMA IF EXISTS ${captureSchema} CASCADE`)
      await dataSource.destroy()
      await space.dispose()
    },
  }
}
