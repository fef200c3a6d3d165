import { afterEach, expect, test } from 'vitest'

import type { AttachOptions } from '../../src/redstream.ts'
import { workshop, type Workshop } from '../support/workshop.ts'
import { Price, Product, shop } from './shop.ts'

/** Children that writes of every kind move from one document to another: both are indexed again. */

let app: Workshop
afterEach(() => app.dispose())

async function start(options: AttachOptions = {}): Promise<void> {
  app = await workshop(shop, options)
  app.start('consumer')
  await app.save(
    Product,
    { id: 1, name: 'apple', tags: [], prices: [{ id: 11, cents: 10 }] },
    { id: 2, name: 'pear', tags: [], prices: [] },
    { id: 3, name: 'fig', tags: [], prices: [] },
  )
  await app.redstream.drained()
}

const moved = { id: 11, cents: 10, product: { id: 2 } }

const writes: [string, () => Promise<unknown>][] = [
  ['save', () => app.dataSource.manager.save(Price, moved)],
  ['save without a transaction', () => app.dataSource.manager.save(Price, moved, { transaction: false })],
  ['update that repeats the key', () => app.dataSource.manager.update(Price, 11, moved)],
  ['upsert', () => app.dataSource.manager.upsert(Price, moved, ['id'])],
  [
    'upsert of several',
    () => app.dataSource.manager.upsert(Price, [{ id: 12, cents: 1, product: { id: 2 } }, moved], ['id']),
  ],
  [
    'orUpdate',
    () =>
      app.dataSource
        .createQueryBuilder()
        .insert()
        .into(Price)
        .values(moved)
        .orUpdate(['productId'], ['id'])
        .execute(),
  ],
  [
    'upsert in a transaction',
    () => app.dataSource.transaction((manager) => manager.upsert(Price, moved, ['id'])),
  ],
]

test.each(writes)('%s', async (_, write) => {
  await start()
  expect(await app.touchedBy('products', write)).toEqual(['1', '2'])
})

test.each(writes)('%s, published when it is done', async (_, write) => {
  await start({ outsideTransaction: 'publish' })
  expect(await app.touchedBy('products', write)).toEqual(['1', '2'])
})

test('an upsert that leaves the foreign key as it was', async () => {
  await start()
  const upsert = () =>
    app.dataSource
      .createQueryBuilder()
      .insert()
      .into(Price)
      .values({ ...moved, cents: 5 })
      .orUpdate(['cents'], ['id'])
      .execute()
  expect(await app.touchedBy('products', upsert)).toEqual(['1'])
})

test('on a query runner of your own', async () => {
  await start()
  const queryRunner = app.dataSource.createQueryRunner()
  try {
    const update = () => queryRunner.manager.update(Price, 11, moved)
    expect(await app.touchedBy('products', update)).toEqual(['1', '2'])
  } finally {
    await queryRunner.release()
  }
})

test('a move that a savepoint takes back, and another after it', async () => {
  await start()
  const write = () =>
    app.dataSource.transaction(async (manager) => {
      const inner = manager.transaction(async (inside) => {
        await inside.update(Price, { cents: 10 }, { product: { id: 2 } })
        throw new Error('taken back')
      })
      await expect(inner).rejects.toThrow('taken back')
      await manager.update(Price, { cents: 10 }, { product: { id: 3 } })
    })
  expect(await app.touchedBy('products', write)).toEqual(['1', '3'])
})

test('a move, and the end of the row, in one transaction', async () => {
  await start()
  const write = () =>
    app.dataSource.transaction(async (manager) => {
      await manager.update(Price, { cents: 10 }, { product: { id: 2 } })
      await manager.delete(Price, { cents: 10 })
    })
  expect(await app.touchedBy('products', write)).toContain('1')
  expect((await app.documents('products'))['1']).toMatchObject({ prices: [] })
})
