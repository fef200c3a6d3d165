import * as fc from 'fast-check'
import { DataSource, EntitySchema } from 'typeorm'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { keyBound } from '../../src/capture/key-condition.ts'
import { resolveDefinitions } from '../../src/definitions.ts'
import { Indexed } from '../../src/indexed.ts'
import { rowsPerSlice, slicesBetween, TableKeys, type Range } from '../../src/reindex/slices.ts'
import { testSpace, type TestSpace } from '../support/services.ts'

class Line {
  tenant!: string
  number!: string
}
Indexed({ index: 'lines' })(Line)
class Thing {
  id!: string
}
Indexed({ index: 'things' })(Thing)

const schemas = [
  new EntitySchema<Line>({
    name: 'Line',
    target: Line,
    tableName: 'lines',
    columns: {
      tenant: { type: 'text', primary: true },
      number: { type: 'bigint', primary: true },
    },
  }),
  new EntitySchema<Thing>({
    name: 'Thing',
    target: Thing,
    tableName: 'things',
    columns: { id: { type: 'uuid', primary: true } },
  }),
]

let space: TestSpace
let dataSource: DataSource

beforeAll(async () => {
  space = await testSpace()
  dataSource = await new DataSource({ ...space.dataSourceOptions(schemas), synchronize: true }).initialize()
  // A tenant with most of the rows, texts whose order depends on the collation, and separators of keys.
  await dataSource.query(
    `INSERT INTO lines SELECT t, n FROM unnest(ARRAY['a', 'B', 'ä', 'x:y', '100%']) t, generate_series(-5, 40) n`,
  )
  await dataSource.query(
    `INSERT INTO lines SELECT 'large', n * 1000000007 FROM generate_series(1::bigint, 5000) n`,
  )
  await dataSource.query(`INSERT INTO things SELECT gen_random_uuid() FROM generate_series(1, 5000)`)
  await dataSource.query('ANALYZE lines, things')
})
afterAll(async () => {
  await dataSource?.destroy()
  await space?.dispose()
})

function keysOf(index: string): TableKeys {
  return new TableKeys(
    dataSource,
    resolveDefinitions(dataSource).find(({ name }) => name === index)!,
  )
}

async function allKeys(table: TableKeys, range: Range, size: number): Promise<string[]> {
  const found: string[] = []
  for (let after = range.after; ;) {
    const page = await table.page({ ...range, after }, size)
    found.push(...page)
    if (page.length < size) return found
    after = page.at(-1)
  }
}

for (const [index, rows] of [
  ['lines', 5_230],
  ['things', 5_000],
] as const) {
  test(`the slices of ${index} hold every key once, in order`, async () => {
    const table = keysOf(index)
    expect(await table.count()).toBe(rows)
    const slices = await table.slices(rows)
    expect(slices).toHaveLength(3)
    const whole = await allKeys(table, {}, 1_000)
    expect(new Set(whole).size).toBe(rows)
    const parts: string[] = []
    for (const slice of slices) {
      const keys = await allKeys(table, slice, 300)
      expect(keys.length).toBeLessThanOrEqual(rowsPerSlice(rows))
      parts.push(...keys)
    }
    expect(parts).toEqual(whole)
  })
}

test('a table that is said to be large is cut by a sample', async () => {
  const table = keysOf('things')
  const slices = await table.slices(2_000_000)
  const whole = await allKeys(table, {}, 1_000)
  const parts: string[] = []
  for (const slice of slices) parts.push(...(await allKeys(table, slice, 300)))
  expect(parts).toEqual(whole)
})

test('a composite key is compared in the order of its columns, also where the database cannot compare rows', async () => {
  const { sql, parameters } = keyBound(['a', 'b'], [1, 2], 'after', true)
  expect(sql).toBe('(a, b) > (:after0, :after1)')
  expect(parameters).toEqual({ after0: 1, after1: 2 })
  expect(keyBound(['a'], [1], 'upTo', false).sql).toBe('a <= :upTo0')

  const pairs = dataSource.createQueryBuilder().select('a').addSelect('b').from('pairs', 'pairs')
  await dataSource.query(
    'CREATE TABLE pairs AS SELECT a, b FROM generate_series(1, 5) a, generate_series(1, 5) b',
  )
  for (const bound of ['after', 'upTo'] as const) {
    for (const values of [
      [2, 3],
      [1, 1],
      [5, 5],
      [3, 9],
    ]) {
      const [compared, written] = await Promise.all(
        [true, false].map(async (comparesRows) => {
          const condition = keyBound(['a', 'b'], values, bound, comparesRows)
          return pairs
            .clone()
            .where(condition.sql, condition.parameters)
            .orderBy('a')
            .addOrderBy('b')
            .getRawMany()
        }),
      )
      expect(written).toEqual(compared)
    }
  }
})

test('slices follow each other without a gap', () => {
  fc.assert(
    fc.property(fc.array(fc.string()), (keys) => {
      const slices = slicesBetween(keys)
      expect(slices[0]?.after).toBeUndefined()
      expect(slices.at(-1)?.upTo).toBeUndefined()
      for (const [i, slice] of slices.entries()) {
        expect(slice.number).toBe(i)
        if (i > 0) expect(slice.after).toBe(slices[i - 1]?.upTo)
      }
    }),
  )
})
