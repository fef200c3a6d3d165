import { beforeAll, describe, expect, test } from 'vitest'
import { DataSource, type EntityTarget, type FindOptionsRelations, type ObjectLiteral } from 'typeorm'

import type { DocumentContext, IndexDefinition, IndexedOptions } from '../../src/indexed.ts'
import { buildDocument, defaultDocument } from '../../src/sync/document.ts'
import { checkRelations } from '../../src/sync/relation-tree.ts'
import { BigKey, Bytes, Embedded, keyEntities } from './key-entities.ts'
import { Category, Farmer, Person, Product, Region, Shelf, shopEntities, Trader } from './shop-entities.ts'

/** Metadata alone: nothing connects. */
class Unconnected extends DataSource {
  read(): Promise<void> {
    return this.buildMetadatas()
  }
}

const dataSource = new Unconnected({ type: 'postgres', entities: [...shopEntities, ...keyEntities] })
beforeAll(() => dataSource.read())

function definitionOf<E extends ObjectLiteral>(
  entity: EntityTarget<E>,
  options: IndexedOptions<E> = {},
): IndexDefinition<E> {
  const metadata = dataSource.getMetadata(entity)
  return { name: metadata.tableName, stream: metadata.tableName, partitions: 1, metadata, options }
}

const make = <E extends ObjectLiteral>(entity: new () => E, values: object): E =>
  Object.assign(dataSource.manager.create(entity), values)

describe('the default document', () => {
  test('has every column by its property, nothing that is not loaded, and only the named relations', () => {
    const region = make(Region, { code: 'N', name: 'North' })
    const product = make(Product, {
      id: '1',
      sku: 'S',
      cost: 'never',
      colours: ['red'],
      weight: null,
      origin: { farm: 'f', region, alsoFrom: [] },
      categories: [make(Category, { id: 1, name: 'food', parent: null, children: [] })],
      maker: make(Person, { id: 1, name: 'Ann' }),
      deletedAt: null,
    })
    expect(defaultDocument(definitionOf(Product))(product)).toEqual({
      id: '1',
      sku: 'S',
      colours: ['red'],
      weight: null,
      origin: { farm: 'f' },
      deletedAt: null,
    })
    const relations = {
      origin: { region: true, alsoFrom: true },
      categories: { parent: true },
      manual: true,
    } as const
    expect(defaultDocument(definitionOf(Product, { relations }))(product)).toEqual({
      id: '1',
      sku: 'S',
      colours: ['red'],
      weight: null,
      origin: { farm: 'f', region: { code: 'N', name: 'North' }, alsoFrom: [] },
      categories: [{ id: 1, name: 'food', parent: null }],
      deletedAt: null,
    })
  })

  test('what JSON cannot hold', () => {
    expect(defaultDocument(definitionOf(BigKey))(make(BigKey, { id: 2n ** 60n }))).toEqual({
      id: '1152921504606846976',
    })
    expect(defaultDocument(definitionOf(Bytes))(make(Bytes, { id: Buffer.from('hello') }))).toEqual({
      id: 'aGVsbG8=',
    })
    const deletedAt = new Date()
    expect(defaultDocument(definitionOf(Product))(make(Product, { deletedAt }))['deletedAt']).toBe(deletedAt)
  })

  test('embedded entities that are missing', () => {
    expect(defaultDocument(definitionOf(Embedded))(make(Embedded, { n: 2 }))).toEqual({ n: 2 })
    expect(defaultDocument(definitionOf(Embedded))(make(Embedded, { key: null, n: 2 }))).toEqual({ n: 2 })
  })

  test('table inheritance: what the class of the row has', () => {
    const document = defaultDocument(
      definitionOf(Person, { relations: { home: true } as FindOptionsRelations<Person> }),
    )
    expect(document(make(Farmer, { id: 1, name: 'Ann', hectares: 2, home: null }))).toEqual({
      id: 1,
      name: 'Ann',
      hectares: 2,
      home: null,
    })
    expect(document(make(Trader, { id: 2, name: 'Cid', firm: 'C' }))).toEqual({
      id: 2,
      name: 'Cid',
      firm: 'C',
    })
  })

  test('loaded lazy relations', () => {
    const shelf = make(Shelf, { id: 1, region: make(Region, { code: 'N', name: 'North' }) })
    const relations = { region: true } as unknown as FindOptionsRelations<Shelf>
    expect(defaultDocument(definitionOf(Shelf, { relations }))(shelf)).toEqual({
      id: 1,
      region: { code: 'N', name: 'North' },
    })
  })
})

describe('buildDocument', () => {
  const context: DocumentContext = { manager: dataSource.manager, services: {}, cache: new Map() }
  /** What becomes of a region. */
  const build = async (options?: IndexedOptions<Region>): Promise<unknown> =>
    buildDocument(definitionOf(Region, options))(make(Region, { code: 'N', name: 'North' }), context)

  test('uses document(), which may be asynchronous, or the default', async () => {
    expect(await build()).toEqual({ code: 'N', name: 'North' })
    expect(await build({ document: ({ name }) => ({ name }) })).toEqual({ name: 'North' })
    const later = { document: ({ name }: Region) => Promise.resolve({ name }) }
    expect(await build(later)).toEqual({ name: 'North' })
  })

  test('has none when when() says no, and then document() is not called', async () => {
    const document = (): never => {
      throw new Error('called')
    }
    expect(await build({ when: () => false, document })).toBeUndefined()
    await expect(build({ when: () => true, document })).rejects.toThrow('called')
  })

  test.each([
    [null, 'null'],
    [undefined, 'undefined'],
    [[], 'an array'],
    ['x', 'a string'],
    [new Date(), 'an object of class Date'],
  ])('refuses %o as a document', async (value, named) => {
    const document = (): never => value as never
    await expect(build({ document })).rejects.toMatchObject({
      code: 'ENTITY',
      message: `The document of Region must be a plain object, but document() gave ${named}`,
    })
  })

  test('refuses a when() that decides later', async () => {
    const when = (() => Promise.resolve(false)) as unknown as () => boolean
    await expect(build({ when })).rejects.toMatchObject({
      code: 'ENTITY',
      message: 'when() of Region must say true or false at once, but gave an object of class Promise',
    })
  })
})

describe('checkRelations', () => {
  const check = (relations: unknown) => (): void =>
    checkRelations(
      definitionOf(Product, {
        relations: relations as FindOptionsRelations<Product>,
      }) as unknown as IndexDefinition,
    )

  test('accepts what exists, at any depth', () => {
    expect(
      check({ origin: { region: true }, manual: { pages: { footnotes: true } }, prices: false }),
    ).not.toThrow()
    expect(check(undefined)).not.toThrow()
  })

  test('names the entity, the path, what is meant and what exists', () => {
    expect(check({ manual: { page: true } })).toThrow(
      '@Indexed on Product: "manual.page" is no relation, because Manual has no relation "page". ' +
        'Did you mean "pages"? It has: product, alsoFor, pages',
    )
    expect(check({ origin: { regoin: true } })).toThrow('Did you mean "origin.region"?')
    expect(check({ origin: true })).toThrow('"origin" is no relation')
    expect(check({ sku: true })).toThrow('"sku" is no relation')
    expect(check({ origin: { region: { anything: true } } })).toThrow(
      'because Region has no relations at all',
    )
  })

  test('refuses other shapes', () => {
    expect(check(['manual'])).toThrow(
      '@Indexed on Product: `relations` must be an object as in { country: true }',
    )
    expect(check({ manual: 'pages' })).toThrow('`relations` at "manual" must be an object')
  })
})
