import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { shop } from './shop.ts'
import { followed, type Followed } from './support.ts'

let app: Followed

beforeAll(async () => {
  app = await followed(shop)
  app.start('follower', 'consumer')
})
afterAll(() => app?.dispose())

const names = async (): Promise<unknown[]> =>
  Object.values(await app.documents('products')).map((document) => (document as { name: string }).name)

describe('documents follow the log', () => {
  beforeEach(async () => {
    await app.sql('TRUNCATE product_tags, offers, products, tags')
    await app.sql(`INSERT INTO products SELECT n, 'p' || n FROM generate_series(1, 3) n`)
    await app.sql('INSERT INTO offers VALUES (11, 5, 1), (12, 6, 1), (21, 7, 2)')
    await app.sql(`INSERT INTO tags VALUES (7, 'seven'); INSERT INTO product_tags VALUES (1, 7)`)
  })

  test('raw SQL on all tables', async () => {
    expect(await app.documents('products')).toMatchObject({
      1: { name: 'p1', offers: [{ id: 11 }, { id: 12 }], tags: [{ label: 'seven' }] },
      2: { name: 'p2', offers: [{ id: 21 }], tags: [] },
      3: { name: 'p3', offers: [] },
    })
    await app.sql('UPDATE offers SET product_id = 3 WHERE id = 21')
    await app.sql(`UPDATE tags SET label = 'sieben'`)
    expect(await app.documents('products')).toMatchObject({
      1: { tags: [{ label: 'sieben' }] },
      2: { offers: [] },
      3: { offers: [{ id: 21 }] },
    })
  })

  test('a TRUNCATE deletes the documents of all rows, also those that are on their way', async () => {
    await app.documents('products')
    await app.sql(`INSERT INTO products SELECT n, 'late' FROM generate_series(100, 3099) n`)
    await app.sql('TRUNCATE product_tags, offers, products')
    expect(await names()).toEqual([])
  })

  test('a TRUNCATE of an embedded table, in a transaction with other writes', async () => {
    await app.documents('products')
    await app.sql(`BEGIN; UPDATE products SET name = 'new' WHERE id = 2; TRUNCATE offers; COMMIT`)
    expect(await app.documents('products')).toMatchObject({
      1: { name: 'p1', offers: [] },
      2: { name: 'new', offers: [] },
    })
    await app.sql('TRUNCATE product_tags')
    expect(await app.documents('products')).toMatchObject({ 1: { tags: [] } })
  })

  test('a TRUNCATE that is rolled back deletes nothing', async () => {
    await app.sql(`BEGIN; TRUNCATE products CASCADE; ROLLBACK`)
    expect(await names()).toEqual(expect.arrayContaining(['p1', 'p2', 'p3']))
  })
})
