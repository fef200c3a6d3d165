import { Column, DataSource, Entity, PrimaryColumn } from 'typeorm'
import { afterEach, expect, test } from 'vitest'

import { keysetPages, rowsPerPage, selectMatching, type RawRow } from '../../src/capture/key-pages.ts'
import { testSpace, type TestSpace } from '../support/services.ts'

@Entity({ name: 'Order Lines' })
class Line {
  @PrimaryColumn({ type: 'text', name: 'order No' })
  order!: string

  @PrimaryColumn({ type: 'int' })
  line!: number

  @Column({ type: 'int' })
  count!: number
}

let space: TestSpace
let dataSource: DataSource
afterEach(async () => {
  await dataSource.destroy()
  await space.dispose()
})

test('pages of a composite key: every row once, and no page reads those of others', async () => {
  space = await testSpace()
  dataSource = await new DataSource({
    ...space.dataSourceOptions([Line]),
    synchronize: true,
  }).initialize()
  const metadata = dataSource.getMetadata(Line)
  await dataSource.query(
    `INSERT INTO "Order Lines" SELECT 'o' || g % 3, g, 1 FROM generate_series(1, 9500) g;
     ANALYZE "Order Lines"`,
  )
  const queries: [string, unknown[]][] = []
  const rows: RawRow[] = []
  const pages = keysetPages(metadata, () => {
    const query = selectMatching(dataSource.manager, metadata, { count: 1 }, metadata.primaryColumns)
    const read = query.getRawMany.bind(query)
    query.getRawMany = (...args) => {
      queries.push(query.getQueryAndParameters() as [string, unknown[]])
      return read(...args)
    }
    return query
  })
  for await (const page of pages) rows.push(...page)
  expect(queries).toHaveLength(10)
  const found = rows.map((row) => `${String(row['order No'])}-${String(row['line'])}`)
  const all = Array.from({ length: 9500 }, (_, i) => i + 1)
  expect(found.toSorted()).toEqual(all.map((line) => `o${line % 3}-${line}`).toSorted())
  for (const [sql, parameters] of queries) {
    const [plan] = await dataSource.query<Record<string, [{ Plan: Plan }]>[]>(
      `EXPLAIN (ANALYZE, FORMAT JSON) ${sql}`,
      parameters,
    )
    expect(readBy(plan!['QUERY PLAN']![0].Plan)).toBeLessThanOrEqual(rowsPerPage)
  }
})

interface Plan {
  'Actual Rows': number
  'Rows Removed by Filter'?: number
  Plans?: Plan[]
}

/** The most rows that a step of a plan has looked at. */
function readBy(plan: Plan): number {
  const own = plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0)
  return Math.max(own, ...(plan.Plans ?? []).map(readBy))
}
