import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { partitionsOf } from '../../src/streams/keys.ts'
import { workshop, type Workshop } from '../support/workshop.ts'
import { Category, Product, shop } from './shop.ts'

const products = 10_000
const settings = { batchSize: 200, concurrency: 2 }

let app: Workshop

beforeEach(async () => {
  app = await workshop(shop, {}, settings)
})
afterEach(() => app.dispose())

test('a category of 10,000 products is renamed: edits of other products pass by, and both arrive', async () => {
  await app.save(Category, { id: 1, name: 'old' })
  await app.save(Product, { id: 20_001, name: 'before' }, { id: 20_002, name: 'before' })
  const stopAll = app.start('consumer')
  await app.redstream.drained()
  await stopAll()
  await app.dataSource.query(
    `INSERT INTO product (id, name, "categoryId") SELECT id, 'before', 1 FROM generate_series(1, ${products}) AS id`,
  )

  // All of it is queued before the first product is indexed.
  app.start('consumer', `embedded:${app.space.schema}.category`)
  await app.save(Category, { id: 1, name: 'new' })
  const indexed = `${app.space.indexPrefix}products`
  const [partition] = partitionsOf(app.space.namespace, indexed, 1)
  const redis = app.space.redis()
  await vi.waitFor(async () => expect(await redis.xlen(partition!.keys.bulk)).toBe(products), {
    timeout: 60_000,
  })

  const delivered = { main: 0, bulk: 0 }
  // The bulk lane's part when each edit was delivered, told by the consumer: who asks now and then hears of it later.
  const bulkBefore: number[] = []
  app.pipeline.events.on('delivered', ({ stream, group, lane, entries }) => {
    if (stream !== indexed || group !== 'index') return
    delivered[lane] += entries
    if (lane === 'main') bulkBefore.push(delivered.bulk)
  })
  const queued = await redis.xlen(partition!.keys.main)
  await app.save(Product, { id: 20_001, name: 'edit 0' })
  await vi.waitFor(async () => expect(await redis.xlen(partition!.keys.main)).toBe(queued + 1))
  app.start('consumer', indexed)
  await vi.waitFor(() => expect(delivered.main).toBe(1), { timeout: 60_000 })
  for (let edit = 1; edit <= 10; edit++) {
    await app.save(Product, { id: 20_001 + (edit % 2), name: `edit ${edit}` })
    await vi.waitFor(() => expect(delivered.main).toBe(1 + edit), { timeout: 60_000, interval: 5 })
  }
  // The first one waited beside the whole bulk lane. The consumer may have that lane's turn, and a batch under way.
  expect(bulkBefore[0]).toBeLessThanOrEqual(3 * settings.batchSize)
  // It was a race at all: the bulk lane was served meanwhile, and is not done.
  expect(bulkBefore.at(-1)).toBeGreaterThan(0)
  expect(bulkBefore.at(-1)).toBeLessThan(products)

  await app.redstream.drained({ timeout: 120_000 })
  const client = app.space.elasticsearch()
  await client.indices.refresh({ index: indexed })
  const renamed = await client.count({ index: indexed, query: { match: { 'category.name': 'new' } } })
  expect(renamed.count).toBe(products)
  expect((await client.get<{ name: string }>({ index: indexed, id: '20001' }))._source?.name).toBe('edit 10')
}, 240_000)
