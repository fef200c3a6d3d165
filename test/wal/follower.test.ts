import type { QueryRunner } from 'typeorm'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { eventually } from '../support/streams.ts'
import { shop } from './shop.ts'
import { followed, type Followed } from './support.ts'

let app: Followed
let products: string

beforeAll(async () => {
  // Every transaction of more than some hundred rows is streamed before its commit.
  app = await followed(shop, {}, '-c logical_decoding_work_mem=64kB')
  products = `${app.space.indexPrefix}products`
  app.start('follower')
})
afterAll(() => app?.dispose())

const streamOf = (table: string): string => `embedded:${app.space.schema}.${table}`

/** What is told of all writes up to now, by stream: nothing that comes later is waited for. */
async function told(stream: string, lane: 'main' | 'bulk' = 'main'): Promise<string[]> {
  await app.passed()
  return (await app.messages(stream, lane)).map(({ id }) => id)
}

async function emptied(): Promise<void> {
  await app.passed()
  const redis = app.space.redis()
  for (const stream of [products, streamOf('offers'), streamOf('tags'), streamOf('product_tags')]) {
    const { main, bulk } = app.partition(stream).keys
    await redis.xtrim(main, 'MAXLEN', 0)
    await redis.xtrim(bulk, 'MAXLEN', 0)
  }
}

async function inTransaction(work: (queryRunner: QueryRunner) => Promise<void>): Promise<void> {
  const queryRunner = app.dataSource.createQueryRunner()
  try {
    await queryRunner.startTransaction()
    await work(queryRunner)
  } finally {
    await queryRunner.release()
  }
}

test('the server streams large transactions here, lest the tests below show nothing', async () => {
  await app.sql(`INSERT INTO products SELECT n, 'x' FROM generate_series(1, 5000) n`)
  await eventually(async () => {
    const [row] = (await app.sql(
      'SELECT stream_txns > 0 AS streams FROM pg_stat_replication_slots WHERE slot_name = $1',
      [app.log.names.slot],
    )) as [{ streams: boolean }]
    expect(row.streams).toBe(true)
  })
})

describe('a follower publishes', () => {
  beforeEach(async () => {
    await app.sql('DELETE FROM product_tags; DELETE FROM offers; DELETE FROM products; DELETE FROM tags')
    await app.sql(`INSERT INTO products SELECT n, 'p' || n FROM generate_series(1, 3) n`)
    await app.sql('INSERT INTO offers VALUES (11, 5, 1), (12, 6, 1), (21, 7, 2)')
    await emptied()
  })

  test('inserts, updates and deletes of raw SQL', async () => {
    await app.sql(`INSERT INTO products VALUES (4, 'four')`)
    await app.sql(`UPDATE products SET name = 'one' WHERE id = 1`)
    await app.sql('DELETE FROM products WHERE id = 3')
    expect(new Set(await told(products))).toEqual(new Set(['4', '1', '3']))
  })

  test('a key that changes: the old row and the new one', async () => {
    await app.sql('UPDATE products SET id = 30 WHERE id = 3')
    expect(new Set(await told(products))).toEqual(new Set(['3', '30']))
  })

  test('what the database deletes with a row, with the parent that it had', async () => {
    await app.sql('DELETE FROM products WHERE id = 1')
    expect(await told(products)).toEqual(['1'])
    const gone = await app.messages(streamOf('offers'))
    expect(new Set(gone.map(({ id }) => id))).toEqual(new Set(['11', '12']))
    expect(gone.flatMap(({ before }) => before)).toEqual(['{"product_id":"1"}', '{"product_id":"1"}'])
  })

  test('the parent that a child leaves', async () => {
    await app.sql('UPDATE offers SET product_id = 3 WHERE id = 21')
    await app.passed()
    expect(await app.messages(streamOf('offers'))).toEqual([{ id: '21', before: ['{"product_id":"2"}'] }])
  })

  test('rows of a junction', async () => {
    await app.sql(`INSERT INTO tags VALUES (7, 'seven')`)
    await app.sql('INSERT INTO product_tags VALUES (1, 7)')
    expect(await told(streamOf('product_tags'))).toEqual(['1:7'])
  })

  test('nothing of what is rolled back, or of other tables', async () => {
    await app.sql('CREATE TABLE IF NOT EXISTS other (id integer PRIMARY KEY)')
    await app.sql('INSERT INTO other VALUES (1); TRUNCATE other')
    await inTransaction(async (runner) => {
      await runner.query(`INSERT INTO products VALUES (5, 'five')`)
      await runner.rollbackTransaction()
    })
    await inTransaction(async (runner) => {
      await runner.query(`INSERT INTO products VALUES (6, 'six')`)
      await runner.startTransaction()
      await runner.query(`INSERT INTO products VALUES (7, 'seven')`)
      await runner.rollbackTransaction()
      await runner.commitTransaction()
    })
    expect(await told(products)).toEqual(['6'])
  })

  test('no update of an embedded row in which nothing changes that matters', async () => {
    await app.sql('ALTER TABLE offers ADD COLUMN IF NOT EXISTS note text')
    await app.sql(`UPDATE offers SET note = 'x' WHERE id = 11`)
    await app.sql('UPDATE offers SET price = 9 WHERE id = 12')
    expect(await told(streamOf('offers'))).toEqual(['12'])
    await app.sql('ALTER TABLE offers DROP COLUMN note')
  })

  test('a row whose large value stays', async () => {
    await app.sql(
      `INSERT INTO products SELECT 8, 'eight', string_agg(md5(n::text), '') FROM generate_series(1, 3000) n`,
    )
    await app.sql(`UPDATE products SET name = 'acht' WHERE id = 8`)
    expect(await told(products)).toEqual(expect.arrayContaining(['8']))
  })

  test('a transaction of many rows, after its commit: the first 1,000 go first', async () => {
    await inTransaction(async (runner) => {
      await runner.query(`INSERT INTO products SELECT n, 'x' FROM generate_series(100, 5099) n`)
      await app.passed()
      expect(await app.messages(products)).toEqual([])
      await runner.query('SAVEPOINT one')
      await runner.query(`INSERT INTO products SELECT n, 'x' FROM generate_series(6000, 8999) n`)
      await runner.query('ROLLBACK TO SAVEPOINT one')
      await runner.query(`INSERT INTO products VALUES (9999, 'last')`)
      await runner.commitTransaction()
    })
    const main = await told(products)
    const bulk = await told(products, 'bulk')
    expect(new Set([...main, ...bulk].map(Number))).toEqual(
      new Set([...Array.from({ length: 5_000 }, (_, i) => 100 + i), 9999]),
    )
    expect(bulk.length).toBeGreaterThan(3_000)
  })

  test('nothing of a large transaction that is rolled back', async () => {
    await inTransaction(async (runner) => {
      await runner.query(`INSERT INTO products SELECT n, 'x' FROM generate_series(100, 5099) n`)
      await app.passed()
      await runner.rollbackTransaction()
    })
    await app.sql(`UPDATE products SET name = 'after' WHERE id = 2`)
    expect(await told(products)).toEqual(['2'])
    expect(await told(products, 'bulk')).toEqual([])
  })

  test('rows before, within and after changes of the table', async () => {
    await app.sql(`INSERT INTO products (id, name) VALUES (41, 'a')`)
    await app.sql('ALTER TABLE products ADD COLUMN extra integer NOT NULL DEFAULT 1')
    await app.sql(`UPDATE products SET extra = 2 WHERE id = 1`)
    await app.sql('ALTER TABLE products RENAME COLUMN extra TO more')
    await app.sql(`INSERT INTO products (id, name, more) VALUES (42, 'b', 3)`)
    await inTransaction(async (runner) => {
      await runner.query(`INSERT INTO products (id, name) SELECT n, 'x' FROM generate_series(100, 1099) n`)
      await runner.query('ALTER TABLE products DROP COLUMN more')
      await runner.query(`INSERT INTO products (id, name) SELECT n, 'x' FROM generate_series(1100, 2099) n`)
      await runner.commitTransaction()
    })
    await app.sql(`INSERT INTO products (id, name) VALUES (43, 'c')`)
    const all = [...(await told(products)), ...(await told(products, 'bulk'))].map(Number)
    expect(new Set(all)).toEqual(
      new Set([1, 41, 42, 43, ...Array.from({ length: 2_000 }, (_, i) => 100 + i)]),
    )
  })
})
