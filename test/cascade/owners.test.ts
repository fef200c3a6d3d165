import { afterEach, beforeEach, expect, test } from 'vitest'

import { workshop, type Workshop } from '../support/workshop.ts'
import { Category, Price, Product, Review, Shelf, shop, Tag } from './shop.ts'

let app: Workshop

beforeEach(async () => {
  app = await workshop(shop)
  app.start('consumer')
  await app.save(Category, { id: 1, name: 'food' }, { id: 2, name: 'tools' })
  await app.save(Category, { id: 3, name: 'fruit', parent: { id: 1 } })
  await app.save(Tag, { code: 'new', label: 'New' }, { code: 'sale', label: 'Sale' })
  await app.save(
    Product,
    { id: 1, name: 'apple', category: { id: 3 }, tags: [{ code: 'new' }], prices: [{ id: 11, cents: 10 }] },
    {
      id: 2,
      name: 'pear',
      category: { id: 3 },
      tags: [],
      prices: [
        { id: 21, cents: 20 },
        { id: 22, cents: 22 },
      ],
    },
    { id: 3, name: 'hammer', category: { id: 2 }, tags: [{ code: 'new' }, { code: 'sale' }], prices: [] },
    { id: 4, name: 'air', category: null, tags: [], prices: [] },
  )
  await app.save(Review, { id: 1, stars: 5, product: { id: 4 } })
  await app.save(Shelf, { id: 1, products: [{ id: 1 }, { id: 2 }] }, { id: 2, products: [{ id: 3 }] })
  await app.redstream.drained()
})
afterEach(() => app.dispose())

/** Which documents a write has indexed again. */
async function touchedBy(write: () => Promise<unknown>): Promise<Record<'products' | 'shelves', string[]>> {
  let products: string[] = []
  const shelves = await app.touchedBy('shelves', async () => {
    products = await app.touchedBy('products', write)
  })
  return { products, shelves }
}

/** A document of a product. */
async function product(id: number): Promise<Record<string, unknown>> {
  return (await app.documents('products'))[id] as Record<string, unknown>
}

test('a to-one relation: its change, two hops away too', async () => {
  expect(await touchedBy(() => app.save(Category, { id: 3, name: 'fruits' }))).toEqual({
    products: ['1', '2'],
    shelves: [],
  })
  expect(await product(1)).toMatchObject({ category: { name: 'fruits', parent: { name: 'food' } } })
  expect(await touchedBy(() => app.save(Category, { id: 1, name: 'foods' }))).toEqual({
    products: ['1', '2'],
    shelves: [],
  })
  expect(await product(2)).toMatchObject({ category: { parent: { name: 'foods' } } })
})

test('an embedded row that refers to another one than before', async () => {
  expect(await touchedBy(() => app.save(Category, { id: 3, parent: { id: 2 } }))).toEqual({
    products: ['1', '2'],
    shelves: [],
  })
  expect(await product(1)).toMatchObject({ category: { parent: { name: 'tools' } } })
})

test('a product that moves to another category concerns the shelves that embed it, and no other product', async () => {
  expect(await touchedBy(() => app.save(Product, { id: 1, category: { id: 2 } }))).toEqual({
    products: ['1'],
    shelves: ['1'],
  })
  expect(await product(1)).toMatchObject({ category: { name: 'tools' } })
})

test('a product of which only an embedded row changed does not concern the shelves', async () => {
  expect(await touchedBy(() => app.save(Price, { id: 11, cents: 12 }))).toEqual({
    products: ['1'],
    shelves: [],
  })
  expect(await product(1)).toMatchObject({ prices: [{ cents: 12 }] })
})

test('a column that no document shows concerns none', async () => {
  expect(await touchedBy(() => app.save(Category, { id: 3, note: 'secret' }))).toEqual({
    products: [],
    shelves: [],
  })
})

test('many-to-many: a changed tag, one that is added, one that is taken away', async () => {
  expect(await touchedBy(() => app.save(Tag, { code: 'new', label: 'NEW' }))).toEqual({
    products: ['1', '3'],
    shelves: [],
  })
  expect(await touchedBy(() => app.save(Product, { id: 2, tags: [{ code: 'sale' }] }))).toEqual({
    products: ['2'],
    shelves: [],
  })
  expect(await product(2)).toMatchObject({ tags: [{ label: 'Sale' }] })
  expect(await touchedBy(() => app.save(Product, { id: 3, tags: [{ code: 'sale' }] }))).toEqual({
    products: ['3'],
    shelves: [],
  })
  expect(await product(3)).toMatchObject({ tags: [{ label: 'Sale' }] })
})

test('many-to-many through the query builder, and from the other side', async () => {
  const { manager } = app.dataSource
  const tags = manager.createQueryBuilder().relation(Product, 'tags')
  expect(await touchedBy(() => tags.of(4).add('sale'))).toEqual({ products: ['4'], shelves: [] })
  expect(await touchedBy(() => tags.of(1).remove('new'))).toEqual({ products: ['1'], shelves: [] })
  const products = manager.createQueryBuilder().relation(Tag, 'products')
  expect(await touchedBy(() => products.of('sale').addAndRemove([1], [3]))).toEqual({
    products: ['1', '3'],
    shelves: [],
  })
  expect(await product(1)).toMatchObject({ tags: [{ label: 'Sale' }] })
})

test('a child that moves to another parent: both', async () => {
  expect(await touchedBy(() => app.save(Price, { id: 21, product: { id: 3 } }))).toEqual({
    products: ['2', '3'],
    shelves: [],
  })
  expect(await product(2)).toMatchObject({ prices: [{ id: 22 }] })
  expect(await product(3)).toMatchObject({ prices: [{ id: 21 }] })
})

test('a child that moves twice in one transaction: where it was and where it is', async () => {
  const moved = (): Promise<unknown> =>
    app.dataSource.transaction(async (manager) => {
      await manager.save(Price, { id: 21, cents: 1 })
      await manager.save(Price, { id: 21, product: { id: 3 } })
      await manager.save(Price, { id: 21, product: { id: 4 } })
    })
  const { products } = await touchedBy(moved)
  expect(products).toEqual(expect.arrayContaining(['2', '4']))
  expect(products).not.toContain('1')
  expect(await product(4)).toMatchObject({ prices: [{ id: 21 }] })
  expect(await product(2)).toMatchObject({ prices: [{ id: 22 }] })
})

test('a child that is made, detached, deleted', async () => {
  const { manager } = app.dataSource
  expect(await touchedBy(() => app.save(Price, { id: 41, cents: 1, product: { id: 4 } }))).toEqual({
    products: ['4'],
    shelves: [],
  })
  expect(await touchedBy(() => app.save(Price, { id: 41, product: null }))).toEqual({
    products: ['4'],
    shelves: [],
  })
  expect(await product(4)).toMatchObject({ prices: [] })
  expect(await touchedBy(() => manager.remove(manager.create(Price, { id: 22 })))).toEqual({
    products: ['2'],
    shelves: [],
  })
  expect(await touchedBy(() => manager.delete(Price, 21))).toEqual({ products: ['2'], shelves: [] })
  expect(await product(2)).toMatchObject({ prices: [] })
})

test('a child that its parent drops from its list', async () => {
  const detach = async (): Promise<void> => {
    const pear = await app.dataSource.manager.findOneOrFail(Product, {
      where: { id: 2 },
      relations: { prices: true },
    })
    pear.prices = pear.prices.filter(({ id }) => id !== 21)
    await app.dataSource.manager.save(pear)
  }
  expect(await touchedBy(detach)).toEqual({ products: ['2'], shelves: [] })
  expect(await product(2)).toMatchObject({ prices: [{ id: 22 }] })
})

test('updates by criteria', async () => {
  const { manager } = app.dataSource
  expect(await touchedBy(() => manager.update(Category, { name: 'fruit' }, { name: 'fruits' }))).toEqual({
    products: ['1', '2'],
    shelves: [],
  })
  expect(await touchedBy(() => manager.update(Price, { cents: 22 }, { product: { id: 1 } }))).toEqual({
    products: ['1', '2'],
    shelves: [],
  })
})

test('exact updates and deletes of an entity without an index', async () => {
  const { redstream } = app
  const move = (): Promise<unknown> => redstream.update(Price, { cents: 22 }, { product: { id: 3 } })
  expect(await touchedBy(move)).toEqual({ products: ['2', '3'], shelves: [] })
  const remove = (): Promise<unknown> => redstream.delete(Price, { cents: 22 })
  expect(await touchedBy(remove)).toEqual({ products: ['3'], shelves: [] })
  expect(await product(3)).toMatchObject({ prices: [] })
})

test('rows that move inside a bulk leave no parent behind', async () => {
  const { manager } = app.dataSource
  const move = (): Promise<unknown> => manager.update(Price, { cents: 22 }, { product: { id: 3 } })
  expect(await touchedBy(() => app.redstream.bulk(Price, { cents: 22 }, move))).toEqual({
    products: ['2', '3'],
    shelves: [],
  })
})

test('an embedded row that is deleted', async () => {
  const { manager } = app.dataSource
  expect(await touchedBy(() => manager.remove(manager.create(Tag, { code: 'sale' })))).toEqual({
    products: ['3'],
    shelves: [],
  })
  expect(await product(3)).toMatchObject({ tags: [{ code: 'new' }] })
  // SET NULL of the database: what it changes is found before.
  expect(await touchedBy(() => manager.remove(manager.create(Category, { id: 3 })))).toEqual({
    products: ['1', '2'],
    shelves: ['1'],
  })
  expect(await product(1)).toMatchObject({ category: null })
})

test('a product that is deleted goes from the shelves that held it', async () => {
  const { manager } = app.dataSource
  const { products, shelves } = await touchedBy(() => manager.remove(manager.create(Product, { id: 3 })))
  expect(products).toEqual(['3'])
  expect(shelves).toEqual(['2'])
  expect(await app.documents('shelves')).toMatchObject({ 2: { products: [] } })
})

test('what is watched without being embedded', async () => {
  expect(await touchedBy(() => app.save(Review, { id: 1, stars: 1 }))).toEqual({
    products: ['4'],
    shelves: [],
  })
  expect(await touchedBy(() => app.save(Review, { stars: 1, product: { id: 3 } }))).toEqual({
    products: ['3'],
    shelves: [],
  })
  expect(await product(3)).not.toHaveProperty('reviews')
})

test('a rolled back change indexes nothing', async () => {
  const rolledBack = (): Promise<unknown> =>
    app.dataSource
      .transaction(async (manager) => {
        await manager.save(Category, { id: 3, name: 'fruits' })
        throw new Error('no')
      })
      .catch(() => undefined)
  expect(await touchedBy(rolledBack)).toEqual({ products: [], shelves: [] })
})

test('touch and bulk of an entity without an index', async () => {
  expect(await touchedBy(() => app.redstream.touch(Category, 3))).toEqual({
    products: ['1', '2'],
    shelves: [],
  })
  const rename = (): Promise<unknown> => app.dataSource.query(`UPDATE category SET name = 'x' WHERE id = 2`)
  expect(await touchedBy(() => app.redstream.bulk(Category, { id: 2 }, rename))).toEqual({
    products: ['3'],
    shelves: [],
  })
})

test('a key that no row can have holds nobody up', async () => {
  const touch = async (): Promise<void> => {
    await app.redstream.touch(Category, ['no number', 3])
  }
  expect(await touchedBy(touch)).toEqual({ products: ['1', '2'], shelves: [] })
  const warnings = app.workerLog.filter(({ message }) => message.includes('no row can have this key'))
  expect(warnings.length).toBeGreaterThan(0)
})
