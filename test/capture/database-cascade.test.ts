import { randomUUID } from 'node:crypto'

import fc from 'fast-check'
import { DataSource, type EntityMetadata, type EntityTarget, type ObjectLiteral } from 'typeorm'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import type { RowChange } from '../../src/capture/changes.ts'
import { DatabaseCascade } from '../../src/capture/database-cascade.ts'
import { keyOf } from '../../src/capture/row-key.ts'
import { testSpace, type TestSpace } from '../support/services.ts'
import { cascadeEntities, Company, Node, Region, Review, Shop, Town } from './cascade-entities.ts'

/** What is said to go with a row is compared with what PostgreSQL really does. */

let space: TestSpace
let dataSource: DataSource

beforeAll(async () => {
  space = await testSpace()
  dataSource = await new DataSource({
    ...space.dataSourceOptions(cascadeEntities),
    synchronize: true,
  }).initialize()
})
afterAll(async () => {
  await dataSource.destroy()
  await space.dispose()
})
const clear = (): Promise<unknown> =>
  dataSource.query('TRUNCATE regions, towns, nodes, owners, shops, reviews, shelves, books CASCADE')
beforeEach(clear)

const everything = (): boolean => true

function cascadeFor(matters: (metadata: EntityMetadata) => boolean): DatabaseCascade {
  const definitions = dataSource.entityMetadatas.filter(matters).map((metadata) => ({
    metadata,
    name: metadata.tableName,
    stream: metadata.tableName,
    partitions: 1,
    options: {},
  }))
  return new DatabaseCascade(dataSource, definitions)
}

async function goingWith(
  entity: EntityTarget<ObjectLiteral>,
  keys: ObjectLiteral[],
  matters: (metadata: EntityMetadata) => boolean = everything,
): Promise<RowChange[]> {
  const cascade = cascadeFor(matters)
  return dataSource.transaction(async ({ queryRunner }) => {
    const found: RowChange[] = []
    const pages = cascade.rowsThatGoWith(queryRunner!, dataSource.getMetadata(entity), keys)
    for await (const page of pages) found.push(...page)
    return found
  })
}

/** `table key`, of rows that are deleted, and with a tilde before it of those that change. */
function named(changes: readonly RowChange[]): string[] {
  const names = changes.map(({ metadata, kind, key }) => {
    const name = `${metadata.tableName} ${keyOf(metadata, key)}`
    return kind === 'delete' ? name : `~${name}`
  })
  // A row that changes first, and is deleted then, is deleted.
  return [...new Set(names)].filter((name) => !names.includes(name.slice(1))).toSorted()
}

/** Every row of every table as text, by table and key. */
async function snapshot(): Promise<Map<string, string>> {
  const rows = new Map<string, string>()
  for (const metadata of dataSource.entityMetadatas) {
    if (metadata.tableType === 'entity-child') continue
    const keys = metadata.primaryColumns.map(({ databaseName }) => databaseName)
    for (const row of await dataSource.query<ObjectLiteral[]>(`SELECT * FROM "${metadata.tableName}"`)) {
      const key = keys.map((name) => String(row[name])).join(':')
      rows.set(`${metadata.tableName} ${key}`, JSON.stringify(row))
    }
  }
  return rows
}

/** What a statement did to other rows than `own`, in the words of {@link named}. */
async function effectOf(sql: string, parameters: unknown[], own: readonly string[]): Promise<string[]> {
  const before = await snapshot()
  await dataSource.query(sql, parameters)
  const after = await snapshot()
  return [...before]
    .filter(([name]) => !own.includes(name))
    .flatMap(([name, row]) => {
      if (!after.has(name)) return [name]
      return after.get(name) === row ? [] : [`~${name}`]
    })
    .toSorted()
}

test('composite foreign keys, SET NULL and SET DEFAULT, over several levels', async () => {
  const { manager } = dataSource
  await manager.insert(Region, [
    { country: 'FR', code: 1 },
    { country: 'FR', code: 2 },
  ])
  const [one, two] = [
    { country: 'FR', code: 1 },
    { country: 'FR', code: 2 },
  ]
  await manager.insert(Town, [
    { id: '1', region: one },
    { id: '2', region: two, formerRegion: one },
    { id: '3', region: two },
  ])
  const id = randomUUID()
  await manager.insert(Company, { id, seat: { id: '1' } })
  const found = await goingWith(Region, [one])
  expect(named(found)).toEqual([`~owners ${id}`, '~towns 2', 'towns 1'].toSorted())
  const change = (name: string): RowChange | undefined =>
    found.find((candidate) => candidate.metadata.tableName === name && candidate.kind === 'update')
  expect(change('owners')).toMatchObject({ before: { seatId: '1' }, after: { seatId: null } })
  expect(change('towns')?.before).toMatchObject({ formerRegionCountry: 'FR', formerRegionCode: 1 })
  // What the default is, only the database knows.
  expect(change('towns')?.after).toEqual({ regionCountry: 'FR', regionCode: 2 })
  const effect = await effectOf(
    'DELETE FROM regions WHERE country = $1 AND code = $2',
    ['FR', 1],
    ['regions FR:1'],
  )
  expect(named(found)).toEqual(effect)
})

test('a child entity: what refers to the table it shares, and junction rows with both their keys', async () => {
  const id = randomUUID()
  const { manager } = dataSource
  await manager.insert(Company, { id })
  await manager.insert(Node, { id: 5 })
  await manager.save(Shop, { id: 1, company: { id }, nodes: [{ id: 5 }] })
  await manager.insert(Review, { id: 9, shop: { id: 1 } })
  const found = await goingWith(Company, [{ id }])
  expect(named(found)).toEqual(['reviews 9', 'shops 1', 'shops_nodes 1:5'])
  expect(found.find(({ metadata }) => metadata.isJunction)).toMatchObject({
    kind: 'delete',
    key: { shopsId: 1, nodesId: 5 },
    before: { shopsId: 1, nodesId: 5 },
  })
  // Only what matters, through what does not.
  expect(named(await goingWith(Company, [{ id }], ({ name }) => name === 'Review'))).toEqual(['reviews 9'])
})

test('entities of an EntitySchema', async () => {
  await dataSource.manager.insert('Shelf', [{ id: 1 }, { id: 2 }])
  await dataSource.manager.insert('Book', [
    { id: 1, shelf: { id: 1 } },
    { id: 2, shelf: { id: 2 } },
  ])
  expect(named(await goingWith('Shelf', [{ id: 1 }]))).toEqual(['books 1'])
})

test('a tree: all levels, soft-deleted rows too, more of them than a page', async () => {
  await dataSource
    .query(
      `INSERT INTO nodes (id, parent_id, "deletedAt")
     SELECT n, CASE WHEN n > 1 THEN n / 3 + 1 END, CASE WHEN n % 7 = 0 THEN now() END FROM generate_series(1, 3500) n
     ORDER BY n`,
    )
    .catch(() => undefined)
  const [{ count }] = await dataSource.query<[{ count: string }]>('SELECT count(*) FROM nodes')
  expect(Number(count)).toBe(3_500)
  const found = await goingWith(Node, [{ id: 1 }])
  expect(found).toHaveLength(3_499)
  expect(new Set(named(found)).size).toBe(3_499)
})

test('a ring in the data ends', async () => {
  await dataSource.manager.insert(Node, [
    { id: 1 },
    { id: 2, parent: { id: 1 } },
    { id: 3, parent: { id: 2 } },
  ])
  await dataSource.manager.update(Node, 1, { parent: { id: 3 } })
  const found = await goingWith(Node, [{ id: 2 }])
  expect(named(found)).toEqual(['nodes 1', 'nodes 3'])
})

test('no other transaction can add a row that would go, once the rows are found', async () => {
  await dataSource.manager.insert(Shop, { id: 1 })
  const cascade = cascadeFor(everything)
  const metadata = dataSource.getMetadata(Shop)
  const added = Promise.withResolvers<unknown>()
  await dataSource.transaction(async (manager) => {
    for await (const page of cascade.rowsThatGoWith(manager.queryRunner!, metadata, [{ id: 1 }]))
      expect(page).toEqual([])
    added.resolve(
      dataSource.manager.insert(Review, { id: 1, shop: { id: 1 } }).catch((error: unknown) => error),
    )
    await expect
      .poll(async () => {
        const waiting = await dataSource.query<unknown[]>(
          "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO %\"reviews\"%'",
        )
        return waiting.length
      })
      .toBeGreaterThan(0)
    await manager.delete(Shop, 1)
  })
  expect(await added.promise).toMatchObject({ code: '23503' })
})

test('random rows: what is said is what the database does', async () => {
  const few = fc.integer({ min: 1, max: 4 })
  const some = fc.option(few, { nil: null })
  const world = fc.record({
    towns: fc.array(fc.tuple(some, some), { minLength: 4, maxLength: 4 }),
    companies: fc.array(some, { minLength: 4, maxLength: 4 }),
    shops: fc.array(some, { minLength: 4, maxLength: 4 }),
    reviews: fc.array(some, { minLength: 4, maxLength: 4 }),
    parents: fc.array(some, { minLength: 4, maxLength: 4 }),
    pairs: fc.uniqueArray(fc.tuple(few, few), { maxLength: 6, selector: String }),
    deleted: fc.constantFrom<['regions' | 'towns' | 'owners' | 'shops' | 'nodes', number]>(
      ...(['regions', 'towns', 'owners', 'shops', 'nodes'] as const).flatMap((table) =>
        [1, 2, 3, 4].map((n): [typeof table, number] => [table, n]),
      ),
    ),
  })
  const uuid = (n: number | null): string | null =>
    n === null ? null : `00000000-0000-4000-8000-00000000000${n}`
  await fc.assert(
    fc.asyncProperty(world, async ({ towns, companies, shops, reviews, parents, pairs, deleted }) => {
      await clear()
      const insert = async (sql: string, rows: unknown[][]): Promise<void> => {
        for (const row of rows) await dataSource.query(sql, row)
      }
      await insert("INSERT INTO regions VALUES ('R', $1)", [[1], [2], [3], [4]])
      await insert(
        `INSERT INTO towns (id, "regionCountry", "regionCode", "formerRegionCountry", "formerRegionCode")
         VALUES ($1, $2, $3, $4, $5)`,
        towns.map(([region, former], i) => [i + 1, region && 'R', region, former && 'R', former]),
      )
      await insert(
        `INSERT INTO owners (id, kind, "seatId") VALUES ($1, 'Company', $2)`,
        companies.map((seat, i) => [uuid(i + 1), seat]),
      )
      await insert(
        'INSERT INTO shops (id, "companyId") VALUES ($1, $2)',
        shops.map((company, i) => [i + 1, uuid(company)]),
      )
      await insert(
        'INSERT INTO reviews (id, "shopId") VALUES ($1, $2)',
        reviews.map((shop, i) => [i + 1, shop]),
      )
      await insert('INSERT INTO nodes (id) VALUES ($1)', [[1], [2], [3], [4]])
      await insert(
        'UPDATE nodes SET parent_id = $2 WHERE id = $1',
        parents.map((parent, i) => [i + 1, parent]),
      )
      await insert('INSERT INTO shops_nodes ("shopsId", "nodesId") VALUES ($1, $2)', pairs)

      const [table, number] = deleted
      const metadata = dataSource.entityMetadatas.find(({ tableName }) => tableName === table)!
      const id = table === 'owners' ? uuid(number) : number
      const key = table === 'regions' ? { country: 'R', code: number } : { id }
      const found = named(await goingWith(metadata.target, [key]))
      const own = `${table} ${keyOf(metadata, key)}`
      const effect = await effectOf(
        `DELETE FROM ${table} WHERE ${table === 'regions' ? 'code' : 'id'} = $1`,
        [id],
        [own],
      )
      expect(found).toEqual(effect)
    }),
    { numRuns: 60 },
  )
})
