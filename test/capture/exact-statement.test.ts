import fc from 'fast-check'
import { DataSource, In, LessThan, MoreThan, Not, type ObjectLiteral } from 'typeorm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { foreignKeyColumns, type RowChange } from '../../src/capture/changes.ts'
import { DatabaseCascade } from '../../src/capture/database-cascade.ts'
import { returnsEnough, writeLocked, writeReturning, type Write } from '../../src/capture/exact-statement.ts'
import { keyOf } from '../../src/capture/row-key.ts'
import { testSpace, type TestSpace } from '../support/services.ts'
import { exactEntities } from './exact-entities.ts'

/** The two ways to write exactly: one statement that returns its rows, and rows that are locked first. */

let space: TestSpace
let dataSource: DataSource
let cascade: DatabaseCascade
let entities: ReturnType<typeof exactEntities>

beforeAll(async () => {
  space = await testSpace()
  entities = exactEntities(space.indexPrefix)
  dataSource = await new DataSource({
    ...space.dataSourceOptions(Object.values(entities)),
    synchronize: true,
  }).initialize()
  cascade = new DatabaseCascade(dataSource, [])
  await dataSource.query("INSERT INTO countries VALUES ('FR', 'France'), ('IT', 'Italy')")
  await dataSource.query(
    `INSERT INTO cities (name, population, "countryCode", version)
     SELECT 'city ' || n, n % 5, (ARRAY['FR', 'IT', NULL])[n % 3 + 1], 1 FROM generate_series(1, 30) n`,
  )
  await dataSource.query(
    `INSERT INTO visits (number, day, "cityId")
     SELECT n, (ARRAY['mon', 'tue'])[n % 2 + 1], n % 10 + 1 FROM generate_series(1, 40) n`,
  )
})
afterAll(async () => {
  await dataSource.destroy()
  await space.dispose()
})

type Way = 'returning' | 'locked'

/** What a write does and tells; it is rolled back. */
async function effectOf(
  way: Way,
  write: Write,
): Promise<{ count: number; told: RowChange[]; rows: ObjectLiteral[] }> {
  const queryRunner = dataSource.createQueryRunner()
  await queryRunner.startTransaction()
  try {
    const told: RowChange[] = []
    const note = async (changes: readonly RowChange[]): Promise<void> => void told.push(...changes)
    const count =
      way === 'returning'
        ? await writeReturning(queryRunner, write, note)
        : await writeLocked(queryRunner, write, note, cascade)
    const table = `"${write.metadata.tableName}"`
    const rows = (await queryRunner.query(`SELECT * FROM ${table} ORDER BY 1, 2`)) as ObjectLiteral[]
    return { count, told, rows }
  } finally {
    await queryRunner.rollbackTransaction()
    await queryRunner.release()
  }
}

function writeOf(name: 'City' | 'Visit', where: object, set?: ObjectLiteral): Write {
  const metadata = dataSource.getMetadata(entities[name])
  return { metadata, where, set, foreignKeys: foreignKeyColumns(metadata) }
}

const keysOf = (changes: readonly RowChange[]): string[] =>
  changes.map(({ metadata, key }) => keyOf(metadata, key) ?? '').toSorted()

describe('both ways do and tell the same', () => {
  const small = fc.integer({ min: 0, max: 5 })
  const one = fc.oneof(
    fc.record({ population: fc.oneof(small, small.map(MoreThan), small.map(LessThan)) }),
    fc.record({ id: fc.array(fc.integer({ min: 1, max: 35 }), { minLength: 1, maxLength: 5 }).map(In) }),
    fc.record({ country: fc.record({ name: fc.constantFrom('France', Not('France'), 'nowhere') }) }),
    fc.record({ visits: fc.record({ day: fc.constantFrom('mon', 'tue'), number: small.map(MoreThan) }) }),
  )
  const wheres = fc.oneof(one, fc.array(one, { minLength: 1, maxLength: 3 }))

  test('cities, with a key of one column', async () => {
    const sets = fc.constantFrom<(ObjectLiteral | undefined)[]>(
      { name: 'x' },
      { population: () => 'population + 1' },
      undefined,
    )
    await fc.assert(
      fc.asyncProperty(wheres, sets, async (where, set) => {
        const write = writeOf('City', where, set)
        const returned = await effectOf('returning', write)
        const locked = await effectOf('locked', write)
        expect(locked.rows).toEqual(returned.rows)
        expect(locked.count).toBe(returned.count)
        expect(keysOf(locked.told)).toEqual(keysOf(returned.told))
        expect(new Set(keysOf(locked.told)).size).toBe(locked.count)
      }),
      { numRuns: 60 },
    )
  })

  test.each<[string, object]>([
    ['a key of two columns', { day: 'mon' }],
    ['criteria over a relation', { city: { name: In(['city 1', 'city 2']) } }],
  ])('%s', async (_, where) => {
    const write = writeOf('Visit', where)
    const returned = await effectOf('returning', write)
    const locked = await effectOf('locked', write)
    expect(returned.count).toBeGreaterThan(0)
    expect(locked.rows).toEqual(returned.rows)
    expect(keysOf(locked.told)).toEqual(keysOf(returned.told))
    expect(locked.told.map(({ before }) => before)).toEqual(
      expect.arrayContaining(returned.told.map(({ before }) => before)),
    )
  })
})

describe('foreign keys', () => {
  test('what they were and what they are, where an update sets them', async () => {
    const write = writeOf('Visit', { number: 1 }, { city: { id: 9 }, from: () => `'FR'` })
    const { told } = await effectOf('locked', write)
    expect(told).toMatchObject([
      { kind: 'update', key: { number: 1, day: 'tue' }, before: { cityId: 2, fromCode: null } },
    ])
    // What the expression gives, only the database knows.
    expect(told[0]?.after).toEqual({ cityId: 9 })
  })

  test('rows are locked first only where one statement does not tell enough', () => {
    const taking = new DatabaseCascade(dataSource, [
      {
        metadata: dataSource.getMetadata(entities.Visit),
        name: 'visits',
        stream: 'visits',
        partitions: 1,
        options: {},
      },
    ])
    const enough = (write: Write, with_ = cascade): boolean => returnsEnough(write, dataSource, with_)
    expect(enough(writeOf('Visit', {}, { day: 'x' }))).toBe(true)
    expect(enough(writeOf('Visit', {}, { city: { id: 1 } }))).toBe(false)
    expect(enough({ ...writeOf('Visit', {}, { city: { id: 1 } }), foreignKeys: [] })).toBe(true)
    expect(enough(writeOf('City', {}))).toBe(true)
    expect(enough(writeOf('City', {}), taking)).toBe(false)
    expect(enough(writeOf('City', {}, { name: 'x' }), taking)).toBe(true)
    expect(enough(writeOf('Visit', {}), taking)).toBe(true)
  })
})

test('rows that match because of one that is changed first are changed too', async () => {
  await dataSource.query("INSERT INTO countries VALUES ('XX', 'Nowhere')")
  await dataSource.query(
    `INSERT INTO cities (name, population, "countryCode", version)
     SELECT 'many', CASE n WHEN 1 THEN 77 ELSE 0 END, 'XX', 1 FROM generate_series(1, 1500) n`,
  )
  const where = { country: { cities: { population: 77 } } }
  for (const way of ['returning', 'locked'] as const) {
    const { count, rows } = await effectOf(way, writeOf('City', where, { name: 'changed', population: 1 }))
    expect(count).toBe(1_500)
    expect(rows.filter(({ name }) => name === 'changed')).toHaveLength(1_500)
  }
})
