import { afterAll, beforeAll, expect, test } from 'vitest'

import {
  planBeside,
  planReturning,
  returningList,
  type ReturningPlan,
} from '../../../src/capture/returning/plan.ts'
import { Item, openShop, type Shop } from './shop.ts'

let shop: Shop
let plan: ReturningPlan
const escape = (name: string): string => `"${name}"`

beforeAll(async () => {
  shop = await openShop()
  plan = planReturning('insert', shop.dataSource.getMetadata(Item), [], new Set(), true)
})
afterAll(() => shop.dispose())

const list = (asked: string): string => returningList(planBeside(plan, asked, escape), asked, escape)

test('a list of plain columns that has the key is left as it is', () => {
  expect(list('"id"')).toBe('"id"')
  expect(list('"in_stock", "id"')).toBe('"in_stock", "id"')
})

test.each([
  [''],
  ['"in_stock"'],
  ['*'],
  ['"id", 5 AS "id"'],
  ['coalesce("in_stock", "id", 1) AS "id"'],
  ['"id", "other"'],
  ['"id","in_stock"'],
])('our column is added to %j', (asked) => {
  expect(list(asked)).toBe([asked, '"id" AS "redstream_0"'].filter(Boolean).join(', '))
})
