import { Column, DeleteDateColumn, Entity, ManyToOne, PrimaryGeneratedColumn, type Relation } from 'typeorm'
import { afterEach, expect, test } from 'vitest'

import { Indexed, type DocumentContext, type IndexedOptions } from '../../src/indexed.ts'
import { indexNamed, startShapes, type Shapes } from '../support/shapes.ts'

/** What decides whether a row has a document, and what is in it. */

let app: Shapes

afterEach(() => app.dispose())

interface ProductRow {
  id: number
  name: string
  deletedAt: Date | null
}

interface VariantRow {
  id: number
  sku: string
  deletedAt: Date | null
  product: Relation<ProductRow> | null
}

/** Fresh classes: a product with variants, both of which are deleted softly. */
function shop(options: IndexedOptions<VariantRow>) {
  @Entity()
  class Product implements ProductRow {
    @PrimaryGeneratedColumn({ type: 'int' })
    id!: number

    @Column({ type: 'text' })
    name!: string

    @DeleteDateColumn({ type: 'timestamptz' })
    deletedAt!: Date | null
  }

  @Indexed<VariantRow>({ index: indexNamed('variants'), ...options })
  @Entity()
  class Variant implements VariantRow {
    @PrimaryGeneratedColumn({ type: 'int' })
    id!: number

    @Column({ type: 'text' })
    sku!: string

    @DeleteDateColumn({ type: 'timestamptz' })
    deletedAt!: Date | null

    @ManyToOne(() => Product)
    product!: Relation<Product> | null
  }
  return { Product, Variant, entities: [Product, Variant] }
}

async function started(options: IndexedOptions<VariantRow>, services?: Parameters<typeof startShapes>[1]) {
  const { Product, Variant, entities } = shop(options)
  app = await startShapes(entities, services)
  const { manager } = app.dataSource
  const product = await manager.save(Product, { name: 'Nut' })
  const variant = await manager.save(Variant, { sku: 'N1', product })
  return { manager, Product, Variant, product, variant }
}

test('a soft-deleted row has no document, and gets it back', async () => {
  const { manager, Variant, variant } = await started({})
  expect(await app.ids('variants')).toEqual(['1'])
  await manager.softRemove(Variant, variant)
  expect(await app.ids('variants')).toEqual([])
  await manager.recover(Variant, variant)
  expect(await app.ids('variants')).toEqual(['1'])
  await manager.remove(Variant, variant)
  expect(await app.ids('variants')).toEqual([])
})

test('withDeleted: it keeps its document until it is removed, and soft-deleted relations are loaded', async () => {
  const { manager, Product, Variant, product, variant } = await started({
    withDeleted: true,
    relations: { product: true },
  })
  await manager.softRemove(Product, product)
  await manager.softRemove(Variant, variant)
  expect((await app.documents('variants'))[0]?.body).toMatchObject({
    deletedAt: expect.any(String),
    product: { name: 'Nut', deletedAt: expect.any(String) },
  })
  await manager.remove(Variant, variant)
  expect(await app.ids('variants')).toEqual([])
})

test.each([
  ['that is null when its row is soft-deleted', false, (variant: VariantRow) => variant.product !== null],
  ['that is loaded with withDeleted', true, (variant: VariantRow) => variant.product?.deletedAt === null],
])('when across a relation %s', async (_, withDeleted, when) => {
  const { manager, Product, Variant, product, variant } = await started({
    relations: { product: true },
    withDeleted,
    when,
  })
  expect(await app.ids('variants')).toEqual(['1'])
  await manager.softRemove(Product, product)
  await app.redstream.touch(Variant, variant.id)
  expect(await app.ids('variants')).toEqual([])
  await manager.recover(Product, product)
  await app.redstream.touch(Variant, variant.id)
  expect(await app.ids('variants')).toEqual(['1'])
})

test.each([
  ['when', { when: (variant: VariantRow) => variant.product!.deletedAt === null }],
  ['document', { document: (variant: VariantRow) => ({ product: variant.product!.name }) }],
])('%s that reads a relation which is not loaded: the dead letter names it', async (_, options) => {
  await started(options)
  expect(await app.letters('variants')).toMatchObject({
    1: {
      type: 'document_failed',
      reason: expect.stringMatching(
        /^Cannot read properties of undefined \(reading '\w+'\)\. Not loaded are the relations product: if one of them is read, name it in `relations` of @Indexed on Variant$/,
      ),
    },
  })
})

test('a relation that is loaded and has no row gets no such hint', async () => {
  const { manager, Variant } = await started({
    relations: { product: true },
    document: (variant) => ({ product: variant.product!.name }),
  })
  const orphan = await manager.save(Variant, { sku: 'N2', product: null })
  expect((await app.letters('variants'))[orphan.id]?.reason).toBe(
    "Cannot read properties of null (reading 'name')",
  )
})

test('document() may be asynchronous and gets a manager, services and a cache for the batch', async () => {
  interface Prices {
    of(sku: string): Promise<number>
  }
  let made = 0
  const prices: Prices = { of: (sku) => Promise.resolve(sku.length) }
  const caches = new Set<unknown>()
  const services = (): object => {
    made += 1
    return { prices }
  }
  const document = async (variant: VariantRow, { manager, services, cache }: DocumentContext) => {
    caches.add(cache)
    if (!cache.has('names')) cache.set('names', await manager.query('SELECT name FROM product'))
    const price = await (services as { prices: Prices }).prices.of(variant.sku)
    return { sku: variant.sku, price, names: cache.get('names') }
  }
  const { manager, Variant } = await started({ document }, services)
  await app.redstream.drained()
  const batches = caches.size
  await manager.save(Variant, [
    { sku: 'LONG', product: null },
    { sku: 'LONGER', product: null },
  ])
  expect((await app.documents('variants')).map(({ body }) => body)).toEqual([
    { sku: 'N1', price: 2, names: [{ name: 'Nut' }] },
    { sku: 'LONG', price: 4, names: [{ name: 'Nut' }] },
    { sku: 'LONGER', price: 6, names: [{ name: 'Nut' }] },
  ])
  expect([caches.size - batches, made]).toEqual([1, 1])
})

test('services that cannot be made yet: the batch waits, nothing is lost', async () => {
  let failures = 2
  const services = (): object => {
    if (failures-- > 0) throw new Error('not yet')
    return {}
  }
  await started({ document: ({ sku }) => ({ sku }) }, services)
  expect(await app.ids('variants')).toEqual(['1'])
  expect(app.log.filter(({ message }) => message.includes('a batch failed'))).toHaveLength(2)
})
