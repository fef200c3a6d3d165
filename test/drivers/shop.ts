import { DataSource, type EntityManager } from 'typeorm'

import { Redstream, type AttachOptions } from '../../src/redstream.ts'
import { settingsFrom } from '../../src/runtime/settings.ts'
import { partitionsOf } from '../../src/streams/keys.ts'
import { decodeMessages } from '../../src/streams/message.ts'
import { openPipeline } from '../../src/sync/pipeline.ts'
import { published, recordingLogger, type LogLine } from '../support/captured.ts'
import { testDatabase, type Driver } from '../support/databases.ts'
import { testSpace } from '../support/services.ts'
import {
  entities,
  indexPrefixes,
  Item,
  Label,
  Line,
  Shelf,
  streams,
  Ticket,
  Word,
  type Stream,
} from './entities.ts'

/** The rows that a write finds. */
export interface Scene {
  readonly manager: EntityManager
  readonly shelves: readonly [Shelf, Shelf]
  readonly labels: readonly [Label, Label]
  /** On the first shelf with the first label; the third has two lines; the fourth is soft-deleted. */
  readonly items: readonly [Item, Item, Item, Item]
  readonly ticket: Ticket
}

/** A shop in the database of one driver, and what Redstream says of changes in it. */
export interface Shop {
  /** Of its corner of the servers. */
  readonly name: string
  readonly dataSource: DataSource
  /** Empties the tables and fills them anew. */
  fill(): Promise<Scene>
  /** Attaches Redstream, in place of the one that was attached before. */
  attach(options?: AttachOptions): Promise<Attached>
  /** Every row of the indexed tables as JSON, by stream and key. */
  rows(): Promise<Map<string, string>>
  dispose(): Promise<void>
}

export interface Attached {
  readonly redstream: Redstream
  readonly log: LogLine[]
  /** The keys in a stream of each table, sorted, as `stream:key`, each once. */
  keysIn(stream: 'main' | 'bulk' | 'delay'): Promise<string[]>
  /** Starts to index with a DataSource of its own, as a worker's process has it. */
  index(): Promise<void>
  /** The documents of a stream's index by key, when everything is indexed. */
  documents(stream: Stream): Promise<Record<string, Record<string, unknown>>>
}

export async function openShop(driver: Driver): Promise<Shop> {
  const space = await testSpace()
  const database = await testDatabase(driver, space)
  const connect = async (synchronize: boolean): Promise<DataSource> => {
    const dataSource = new DataSource({ ...database.options(entities), synchronize })
    indexPrefixes.set(dataSource, space.indexPrefix)
    return dataSource.initialize()
  }
  const dataSource = await connect(true)
  const { redisUrl, elasticsearchUrl } = space
  const redis = space.redis()
  const client = space.elasticsearch()
  let attached = 0
  const closing: (() => Promise<unknown>)[] = []
  const close = async (): Promise<void> => {
    for (const each of closing.splice(0).toReversed()) await each()
  }
  const attach = async (options: AttachOptions = {}): Promise<Attached> => {
    await close()
    const namespace = `${space.namespace}-${attached++}`
    const log: LogLine[] = []
    const logger = recordingLogger(log)
    const redstream = await Redstream.attach(dataSource, { redis: redisUrl, namespace, logger, ...options })
    closing.push(() => redstream.close())
    const read = async (stream: Stream, lane: 'main' | 'bulk' | 'delay'): Promise<string[]> => {
      await published(redstream)
      const entries = await redis.xrange(partitionsOf(namespace, stream, 1)[0]!.keys[lane], '-', '+')
      return entries.flatMap(([, fields]) => decodeMessages(fields).map(({ id }) => `${stream}:${id}`))
    }
    return {
      redstream,
      log,
      keysIn: async (lane) => {
        const found = await Promise.all(streams.map((stream) => read(stream, lane)))
        return [...new Set(found.flat())].toSorted()
      },
      index: async () => {
        const workers = await connect(false)
        closing.push(() => workers.destroy())
        const { capture, captureSchema } = options
        const settings = settingsFrom({ namespace, capture, captureSchema })
        const config = { dataSource: workers, redis: redisUrl, elasticsearch: elasticsearchUrl, settings }
        const pipeline = await openPipeline(config, logger)
        closing.push(() => pipeline.close())
        await pipeline.init()
        const stopping = new AbortController()
        const kinds = capture === 'outbox' ? (['consumer', 'relay'] as const) : (['consumer'] as const)
        const runs = pipeline.workers(kinds).map((worker) => worker.run(stopping.signal))
        closing.push(() => (stopping.abort(), Promise.all(runs)))
      },
      documents: async (stream) => {
        await redstream.drained()
        const index = `${space.indexPrefix}${stream}`
        await client.indices.refresh({ index })
        const { hits } = await client.search<Record<string, unknown>>({ index, size: 5_000 })
        return Object.fromEntries(hits.hits.map(({ _id, _source }) => [_id, _source!]))
      },
    }
  }
  return {
    name: space.schema,
    dataSource,
    fill: () => fill(dataSource),
    attach,
    rows: () => rowsOf(dataSource),
    dispose: async () => {
      await close()
      await dataSource.destroy()
      await database.dispose()
      await space.dispose()
    },
  }
}

async function fill(dataSource: DataSource): Promise<Scene> {
  const { manager } = dataSource
  for (const table of ['items_labels', 'item_lines', 'items', 'labels', 'shelves', 'tickets', 'words']) {
    await manager.query(`DELETE FROM ${table}`)
  }
  const shelves = await manager.save(Shelf, [{ name: 'upper' }, { name: 'lower' }])
  const labels = await manager.save(Label, [{ name: 'new' }, { name: 'sale' }])
  const items = manager.create(
    Item,
    ['a', 'b', 'c', 'd'].map((name) => ({ name, shelf: shelves[0]!, labels: [labels[0]!] })),
  )
  await manager.save(items)
  const [, , third, fourth] = items
  await manager.softDelete(Item, fourth!.id)
  await manager.save(Line, [
    { order: '4503599627370497', code: 'x', item: third! },
    { order: '4503599627370497', code: 'y', item: third! },
    { order: '8', code: 'x' },
  ])
  const ticket = await manager.save(Ticket, { name: 'one' })
  await manager.save(Word, [{ text: 'Apfel' }, { text: 'Birne' }])
  return { manager, shelves, labels, items, ticket } as unknown as Scene
}

async function rowsOf(dataSource: DataSource): Promise<Map<string, string>> {
  type Row = Record<string, unknown>
  const tables: [Stream, string, (row: Row) => unknown][] = [
    ['shelves', 'shelves', (row) => row['id']],
    ['items', 'items', (row) => row['id']],
    ['lines', 'item_lines', (row) => `${String(row['order_no'])}:${String(row['code'])}`],
    ['tickets', 'tickets', (row) => row['id']],
    ['words', 'words', (row) => row['text']],
  ]
  const rows = new Map<string, string>()
  for (const [stream, table, keyOf] of tables) {
    const columns = table === 'item_lines' ? '*, TRIM(CAST(order_no AS CHAR(20))) AS order_no' : '*'
    for (const row of await dataSource.query<Row[]>(`SELECT ${columns} FROM ${table}`)) {
      rows.set(`${stream}:${String(keyOf(row))}`, JSON.stringify(row))
    }
  }
  return rows
}
