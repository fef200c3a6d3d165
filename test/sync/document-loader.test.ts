import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as fc from 'fast-check'
import {
  DataSource,
  type EntityMetadata,
  type EntityTarget,
  type FindOptionsRelations,
  type ObjectLiteral,
} from 'typeorm'

import { keyOf } from '../../src/capture/row-key.ts'
import type { IndexDefinition } from '../../src/indexed.ts'
import { loadRows } from '../../src/sync/document-loader.ts'
import { testSpace } from '../support/services.ts'
import { fillShop } from './shop-data.ts'
import {
  Award,
  Category,
  Manual,
  Page,
  Person,
  Product,
  Shelf,
  shopEntities,
  Trader,
} from './shop-entities.ts'

let space: Awaited<ReturnType<typeof testSpace>>
let dataSource: DataSource
let queries: string[] = []

beforeAll(async () => {
  space = await testSpace()
  dataSource = new DataSource({
    ...space.dataSourceOptions(shopEntities),
    synchronize: true,
    logging: true,
    logger: {
      logQuery: (query) => queries.push(query),
      logQueryError: () => undefined,
      logQuerySlow: () => undefined,
      logSchemaBuild: () => undefined,
      logMigration: () => undefined,
      log: () => undefined,
    },
  })
  await dataSource.initialize()
  await fillShop(dataSource)
})

afterAll(async () => {
  await dataSource.destroy()
  await space.dispose()
})

function definitionOf<E extends ObjectLiteral>(
  entity: EntityTarget<E>,
  relations: FindOptionsRelations<E> = {},
): IndexDefinition<E> {
  const metadata = dataSource.getMetadata(entity)
  return {
    name: metadata.tableName,
    stream: metadata.tableName,
    partitions: 1,
    metadata,
    options: { relations },
  }
}

async function load<E extends ObjectLiteral>(
  entity: EntityTarget<E>,
  keys: unknown[],
  relations?: FindOptionsRelations<E>,
): Promise<E[]> {
  queries = []
  const { rows, invalid } = await loadRows(definitionOf(entity, relations), keys.map(String), dataSource)
  expect(invalid).toEqual(new Map())
  return [...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
}

describe('rows', () => {
  test('are found by key; soft-deleted and missing ones are absent', async () => {
    const { rows, invalid } = await loadRows(definitionOf(Product), ['1', '8', '99', '2', '1'], dataSource)
    expect([...rows.keys()].sort()).toEqual(['1', '2'])
    expect(rows.get('1')).toBeInstanceOf(Product)
    expect(rows.get('1')).toMatchObject({
      id: '1',
      sku: 'SKU-1',
      colours: ['red'],
      weight: '1.50',
      origin: { farm: 'farm 1' },
    })
    expect(rows.get('1')?.cost).toBeUndefined()
    expect(invalid.size).toBe(0)
  })

  test('no keys, no query', async () => {
    expect(await load(Product, [])).toEqual([])
    expect(queries).toEqual([])
  })

  test('composite keys with every character', async () => {
    const pages = await load(Page, ['2:a%3Ab', '4:ü_%25', '2:nothing'])
    expect(pages.map(({ manualId, number }) => [manualId, number])).toEqual([
      [2, 'a:b'],
      [4, 'ü_%'],
    ])
  })

  test('many composite keys, in chunks', async () => {
    const keys = Array.from({ length: 1200 }, (_, n) => `${n}:1`)
    expect((await load(Page, keys)).map(({ manualId }) => manualId)).toEqual([2, 4])
    expect(queries.length).toBe(3)
  })

  test('table inheritance: each row as its class, and a child class sees only its own', async () => {
    const people = await load(Person, [1, 2, 3, 4])
    expect(people.map((person) => person.constructor.name)).toEqual(['Farmer', 'Farmer', 'Trader', 'Person'])
    expect(people.map(({ greeting }) => greeting)).toEqual([
      'Hello Ann',
      'Hello Bob',
      'Hello Cid',
      'Hello Dan',
    ])
    expect(people[3]).not.toHaveProperty('hectares')
    expect((await load(Trader, [1, 3])).map(({ firm }) => firm)).toEqual(['Cid & Sons'])
  })
})

describe('relations', () => {
  test('to-one relations are joined, deep, and null where there is none', async () => {
    const [seven, two] = await load(Product, [7, 2], {
      origin: { region: true },
      manual: true,
      maker: true,
    }).then((rows) => [rows[1], rows[0]])
    expect(queries.length).toBe(1)
    expect(seven?.origin.region).toBeNull()
    expect(seven?.manual).toBeNull()
    expect(seven?.maker).toBeNull()
    expect(two?.origin.region?.name).toBe('Odd')
    expect(two?.manual?.id).toBe(2)
    expect(two?.maker).toMatchObject({ name: 'Cid', firm: 'Cid & Sons', greeting: 'Hello Cid' })
  })

  test('each to-many relation takes one query, many-to-many two, at any depth', async () => {
    const rows = await load(Product, [1, 2, 3, 4, 5, 6], {
      categories: { parent: { children: true } },
      prices: true,
      manual: { pages: { footnotes: true, regions: true } },
    })
    // rows; categories (2), children of their parents; prices; pages, footnotes, regions (2)
    expect(queries.length).toBe(9)
    expect(rows.map(({ categories }) => categories.map(({ id }) => id))).toEqual([
      [3],
      [2, 3],
      [1, 2, 3],
      [],
      [3],
      [2, 3],
    ])
    expect(rows[2]?.categories[0]?.parent).toBeNull()
    expect(rows[2]?.categories[2]?.parent?.children.map(({ id }) => id)).toEqual([3, 4])
    expect(rows.map(({ prices }) => prices.map(({ cents }) => cents))).toEqual([
      [100],
      [201, 200],
      [302, 301, 300],
      [],
      [500],
      [601, 600],
    ])
    const pages = rows[1]?.manual?.pages
    expect(pages?.map(({ footnotes }) => footnotes.length).sort()).toEqual([1, 3, 3])
    expect(pages?.map(({ regions }) => regions.map(({ code }) => code))).toContainEqual(['N', 'S'])
    expect(rows[3]?.manual?.pages.length).toBe(3)
    expect(rows[0]?.manual).toBeNull()
  })

  test('goes by the index of the foreign key, and sorts only what has an order', async () => {
    await load(Product, [1, 2, 3], {
      categories: true,
      manual: { pages: { footnotes: true, regions: true } },
    })
    const [rows, pages, footnotes, regionPairs, regions, pairs, categories] = queries
    for (const query of [pages, footnotes, regionPairs, pairs]) expect(query).not.toContain('JOIN')
    for (const query of [rows, regions, categories]) expect(query).not.toContain('ORDER BY')
  })

  test('nothing to look for, no query', async () => {
    await load(Product, [4], { categories: { parent: { children: true } } })
    expect(queries.length).toBe(2)
  })

  test('soft-deleted targets are left out', async () => {
    const [one] = await load(Product, [1, 3], { similar: true }).then((rows) => rows)
    expect(one?.similar.map(({ id }) => id)).toEqual(['5'])
    const [, two] = await load(Award, [1, 2], { farmer: { awards: true } })
    expect(two?.farmer?.awards.map(({ id }) => id)).toEqual([1, 2])
  })

  test('a junction that refers to another column than the primary key, from both sides', async () => {
    const [one, two] = await load(Product, [1, 2], { leaflets: { alsoFor: true } })
    expect(one?.leaflets.map(({ id }) => id)).toEqual([100])
    expect(two?.leaflets.map(({ id }) => id)).toEqual([4, 100])
    // Product 8 is soft-deleted, product 4 has none.
    expect(two?.leaflets[0]?.alsoFor.map(({ id }) => id)).toEqual(['2', '3', '6', '7'])
  })

  test('relations of one class of a table, seen from the parent', async () => {
    const people = await load(Person, [1, 2, 3], { home: true, awards: true, products: true } as object)
    const [ann, bob, cid] = people as unknown as { home: unknown; awards: unknown[]; products: unknown[] }[]
    expect(ann).toMatchObject({
      home: { code: 'N' },
      awards: [{ id: 1 }, { id: 2 }],
      products: [{ id: '4' }],
    })
    expect(bob).toMatchObject({ home: null, awards: [{ id: 4 }] })
    expect(cid).not.toHaveProperty('home')
    expect(cid).not.toHaveProperty('awards')
    expect(cid?.products.length).toBe(2)
  })

  test('lazy relations are there without a further query', async () => {
    const shelves = await load(Shelf, [1, 2], { region: true, categories: true })
    const count = queries.length
    const [first, second] = shelves
    expect((await first?.region)?.code).toBe('S')
    expect((await first?.categories)?.map(({ id }) => id)).toEqual([1, 3])
    expect(await second?.region).toBeNull()
    expect(await second?.categories).toEqual([])
    expect(queries.length).toBe(count)
  })

  test('a shared target is one object, and its listeners run once', async () => {
    const [one, five] = await load(Product, [1, 5], { maker: true })
    expect(one?.maker).toBe(five?.maker)
    expect(one?.maker?.greeting).toBe('Hello Bob')
  })

  test('the same entity at two places of the tree has what each place names', async () => {
    const rows = await load(Category, [1, 2, 3, 4, 5], { parent: true, children: { parent: true } })
    expect(rows[1]?.parent).toMatchObject({ id: 1 })
    expect(rows[1]?.parent?.children).toBeUndefined()
    expect(rows[1]?.children.map(({ parent }) => parent?.id)).toEqual([2, 2])
    expect(() => JSON.stringify(rows)).not.toThrow()
  })
})

describe('against find()', () => {
  test('every tree of relations gives the same as TypeORM with joins', async () => {
    const entities = [Product, Category, Page, Manual, Person, Award]
    const arbitrary = fc
      .constantFrom(...entities)
      .chain((entity) => fc.tuple(fc.constant(entity), treeOf(dataSource.getMetadata(entity), 3)))
    await fc.assert(
      fc.asyncProperty(arbitrary, async ([entity, relations]) => {
        const target = entity as EntityTarget<ObjectLiteral>
        const metadata = dataSource.getMetadata(target)
        const expected = await dataSource.manager.find(target, {
          relations,
          relationLoadStrategy: 'join',
          loadEagerRelations: false,
        })
        const keys = expected.map((row) => keyOf(metadata, row) ?? '')
        const { rows } = await loadRows(definitionOf(target, relations), keys, dataSource)
        expect(keys.map((key) => plain(rows.get(key)))).toEqual(expected.map(plain))
      }),
      { numRuns: 60 },
    )
  })
})

/** Any part of the relations that can be named for an entity. */
function treeOf(metadata: EntityMetadata, depth: number): fc.Arbitrary<Record<string, never>> {
  const named = metadata.relations.filter(({ isLazy }) => !isLazy)
  const branches = named.map((relation) => {
    const below =
      depth === 1
        ? fc.constant<object | true>(true)
        : fc.oneof(fc.constant<object | true>(true), treeOf(relation.inverseEntityMetadata, depth - 1))
    return fc
      .option(below, { nil: undefined, freq: 1 })
      .map((value) => [relation.propertyPath, value] as const)
  })
  return fc.tuple(...branches).map((chosen) => {
    const tree: Record<string, object | true> = {}
    for (const [path, value] of chosen) {
      if (value === undefined) continue
      const [first = '', second] = path.split('.')
      if (second === undefined) tree[first] = value
      else tree[first] = { ...(tree[first] as object | undefined), [second]: value }
    }
    return tree as Record<string, never>
  })
}

/** As JSON sees it; lists in one order, and without what listeners add each time that find() meets a shared entity. */
function plain(value: unknown): unknown {
  if (value instanceof Date || typeof value !== 'object' || value === null) return value
  if (Array.isArray(value))
    return value.map(plain).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  const entries = Object.entries(value).filter(([name]) => name !== 'greeting')
  return Object.fromEntries([
    ['class', value.constructor?.name],
    ...entries.map(([name, part]: [string, unknown]) => [name, plain(part)]),
  ])
}
