import { afterEach, beforeEach, expect, test } from 'vitest'

import { Cascader } from '../../src/cascade/cascader.ts'
import { resolveDefinitions } from '../../src/definitions.ts'
import { createLogger } from '../../src/runtime/pino-logger.ts'
import { Progress } from '../../src/runtime/progress.ts'
import { latestMessages, type Batch } from '../../src/streams/batch.ts'
import { RedisConnections } from '../../src/streams/connection.ts'
import type { Lane, Partition } from '../../src/streams/keys.ts'
import { decodeMessages, encodeMessage, type Message } from '../../src/streams/message.ts'
import type { Entry } from '../../src/streams/replies.ts'
import { StreamWriter } from '../../src/streams/stream-writer.ts'
import { sourcesOf, type Source } from '../../src/sync/sources.ts'
import { workshop, type Workshop } from '../support/workshop.ts'
import { Category, Product, shop, Tag } from './shop.ts'

let app: Workshop
let connections: RedisConnections
let sources: Source[]

beforeEach(async () => {
  app = await workshop(shop)
  connections = new RedisConnections(app.space.redisUrl, 5_000, createLogger({ level: 'warn' }))
  sources = sourcesOf(app.space.namespace, resolveDefinitions(app.dataSource))
})
afterEach(async () => {
  await connections.close()
  await app.dispose()
})

const sourceOf = (entity: new () => object): Source =>
  sources.find(({ definition }) => definition.metadata === app.dataSource.getMetadata(entity))!
const partitionOf = (entity: new () => object): Partition => sourceOf(entity).partitions[0]!

/** The handler for changes of an entity. */
function cascaderOf(entity: new () => object, Writer = StreamWriter): Cascader {
  const writers = new Map(
    sources.map(({ definition, partitions }) => [definition, new Writer(connections.commands, partitions)]),
  )
  const { paths } = sourceOf(entity)
  const { dataSource } = app
  return new Cascader({
    dataSource,
    redis: connections.commands,
    paths,
    writers,
    logger: createLogger({ level: 'error' }),
  })
}

function batchOf(entity: new () => object, messages: readonly Message[], lane: Lane = 'main'): Batch {
  const entries: Entry[] = messages.map((message, i) => ({
    id: `${i + 1}-0`,
    fields: encodeMessage(message),
  }))
  const latest = latestMessages(entries)
  return {
    stream: sourceOf(entity).definition.stream,
    group: 'cascade',
    ids: latest.map(({ id }) => id),
    messages: latest,
    entries,
    deliveries: 1,
    alone: false,
    partition: partitionOf(entity),
    lane,
    signal: new AbortController().signal,
    activity: new Progress().begin('handle'),
  }
}

/** What was queued for products, besides what the application published. */
async function queued(lane: Lane): Promise<string[]> {
  const redis = app.space.redis()
  const entries = await redis.xrange(partitionOf(Product).keys[lane], '-', '+')
  const messages = entries.flatMap(([, fields]) => decodeMessages(fields))
  return messages.filter(({ derived }) => derived).map(({ id }) => id)
}

async function products(count: number, category: string): Promise<void> {
  await app.dataSource.query(
    `INSERT INTO product (id, name, "categoryId") SELECT id, 'p', ${category} FROM generate_series(1, ${count}) AS id`,
  )
}

test('an owner that several rows and paths of a batch lead to is queued once', async () => {
  await app.save(Category, { id: 1, name: 'a' })
  await app.save(Category, { id: 2, name: 'b', parent: { id: 1 } })
  await products(3, '2')
  await cascaderOf(Category).handle(batchOf(Category, [{ id: '1' }, { id: '2' }, { id: '1' }]))
  expect((await queued('main')).toSorted()).toEqual(['1', '2', '3'])
})

test('what a cascade has written is not followed', async () => {
  await app.save(Category, { id: 1, name: 'a' })
  await products(3, '1')
  await cascaderOf(Category).handle(batchOf(Category, [{ id: '1', derived: true }]))
  expect(await queued('main')).toEqual([])
})

test('many rows with few owners each, and one with many: all owners, the many in the bulk lane', async () => {
  await app.dataSource.query(
    `INSERT INTO category (id, name) SELECT id, 'c' FROM generate_series(1, 500) AS id`,
  )
  // Two products for each category, and 2,500 more for the third.
  await products(3_500, 'CASE WHEN id <= 1000 THEN (id - 1) % 500 + 1 ELSE 3 END')
  const all = Array.from({ length: 500 }, (_, i) => ({ id: String(i + 1) }))
  await cascaderOf(Category).handle(batchOf(Category, all))
  const ids = [...(await queued('main')), ...(await queued('bulk'))]
  expect(new Set(ids).size).toBe(3_500)
  expect(ids).toHaveLength(3_500)
  expect(await app.space.redis().exists(partitionOf(Category).keys.fanOuts)).toBe(0)
})

test('what came in the bulk lane stays there', async () => {
  await app.save(Category, { id: 1, name: 'a' })
  await products(1, '1')
  await cascaderOf(Category).handle(batchOf(Category, [{ id: '1' }], 'bulk'))
  expect([await queued('main'), await queued('bulk')]).toEqual([[], ['1']])
})

test('owners that cannot be queued fail the batch; the next attempt goes on where it was', async () => {
  await app.save(Category, { id: 1, name: 'a' })
  await products(5_000, '1')
  let calls = 0
  let found = 0
  class Interrupted extends StreamWriter {
    override async queue(messages: readonly Message[], lane: Lane, passes: string): Promise<void> {
      calls += 1
      if (calls === 3) throw new Error('Redis is away')
      await super.queue(messages, lane, passes)
      found += messages.length
    }
  }
  const cascader = cascaderOf(Category, Interrupted)
  const batch = batchOf(Category, [{ id: '1' }])
  await expect(cascader.handle(batch)).rejects.toThrow('Redis is away')
  expect(await queued('bulk')).toHaveLength(2_000)
  await cascader.handle(batch)
  expect(found).toBe(5_000)
  const ids = await queued('bulk')
  expect(new Set(ids).size).toBe(5_000)
  expect(ids).toHaveLength(5_000)
})

test('a few owners that cannot be queued fail the batch too', async () => {
  await app.save(Category, { id: 1, name: 'a' })
  await products(1, '1')
  class Away extends StreamWriter {
    override queue(): Promise<void> {
      return Promise.reject(new Error('Redis is away'))
    }
  }
  await expect(cascaderOf(Category, Away).handle(batchOf(Category, [{ id: '1' }]))).rejects.toThrow(
    'Redis is away',
  )
})

test('a stop in the middle keeps the batch, with its place', async () => {
  await app.save(Category, { id: 1, name: 'a' })
  await products(5_000, '1')
  const stopping = new AbortController()
  let found = 0
  class Stopping extends StreamWriter {
    override async queue(messages: readonly Message[], lane: Lane, passes: string): Promise<void> {
      await super.queue(messages, lane, passes)
      found += messages.length
      stopping.abort()
    }
  }
  const batch = batchOf(Category, [{ id: '1' }])
  const { signal } = stopping
  expect(await cascaderOf(Category, Stopping).handle({ ...batch, signal })).toEqual({ retry: ['1'] })
  expect(await queued('bulk')).toHaveLength(1_000)
  await cascaderOf(Category, Stopping).handle(batch)
  expect(await queued('bulk')).toHaveLength(5_000)
  expect(found).toBe(5_000)
})

test('a text that is no value of the key is passed over, and its neighbours are not', async () => {
  await app.save(Category, { id: 1, name: 'a' })
  await products(1, '1')
  expect(
    await cascaderOf(Category).handle(batchOf(Category, [{ id: 'x' }, { id: '1' }, { id: '99999999999' }])),
  ).toEqual({})
  expect(await queued('main')).toEqual(['1'])
})

test('a database that refuses for another reason fails the batch', async () => {
  await app.save(Tag, { code: 'new', label: 'New' })
  await app.dataSource.query('DROP TABLE product_tags_tag')
  await expect(cascaderOf(Tag).handle(batchOf(Tag, [{ id: 'new' }]))).rejects.toMatchObject({
    code: 'DATABASE',
  })
})
