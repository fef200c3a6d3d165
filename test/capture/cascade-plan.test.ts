import { DataSource } from 'typeorm'
import { beforeAll, describe, expect, test } from 'vitest'

import { cascadePlan, isInCycle, type CascadePlan } from '../../src/capture/cascade-plan.ts'
import { cascadeEntities } from './cascade-entities.ts'

let dataSource: DataSource

beforeAll(async () => {
  dataSource = new DataSource({ type: 'postgres', entities: cascadeEntities })
  // The metadata alone, without a connection.
  await (dataSource as unknown as { buildMetadatas(): Promise<void> }).buildMetadatas()
})

/** `parent: child (columns) action`, with a star for rows that matter themselves. */
function described(plan: CascadePlan): string[] {
  return [...plan]
    .flatMap(([parent, steps]) =>
      steps.map(({ metadata, columns, action, matters }) => {
        const names = columns.map(({ databaseName }) => databaseName).join(', ')
        return `${parent}: ${metadata.tableName} (${names}) ${action}${matters ? ' *' : ''}`
      }),
    )
    .toSorted()
}

const planFor = (...tables: string[]): CascadePlan =>
  cascadePlan(dataSource.entityMetadatas, ({ tableName }) => tables.includes(tableName))

test('every foreign key with an action, junction tables and trees included', () => {
  const plan = cascadePlan(dataSource.entityMetadatas, () => true)
  expect(described(plan)).toEqual([
    'nodes: nodes (parent_id) CASCADE *',
    'nodes: shops_nodes (nodesId) CASCADE *',
    'owners: shops (companyId) CASCADE *',
    'regions: towns (formerRegionCountry, formerRegionCode) SET DEFAULT *',
    'regions: towns (regionCountry, regionCode) CASCADE *',
    'shelves: books (shelfId) CASCADE *',
    'shops: reviews (shopId) CASCADE *',
    'shops: shops_nodes (shopsId) CASCADE *',
    'towns: owners (seatId) SET NULL *',
  ])
})

test('steps that lead to nothing that matters are left out', () => {
  expect(described(planFor('reviews'))).toEqual([
    'owners: shops (companyId) CASCADE',
    'shops: reviews (shopId) CASCADE *',
  ])
  // Rows that lose their foreign key take none along.
  expect(described(planFor('owners'))).toEqual([
    'regions: towns (regionCountry, regionCode) CASCADE',
    'towns: owners (seatId) SET NULL *',
  ])
  expect(described(planFor('nodes'))).toEqual(['nodes: nodes (parent_id) CASCADE *'])
  expect(described(planFor('bills', 'regions'))).toEqual([])
})

describe('cycles', () => {
  test.each([
    ['nodes', true],
    ['shops', false],
    ['owners', false],
  ])('%s: %o', (table, expected) => {
    expect(isInCycle(planFor('nodes', 'shops_nodes', 'reviews'), table)).toBe(expected)
  })
})
