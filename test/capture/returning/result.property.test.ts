import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { calls } from './calls.ts'
import { openShop, type Shop } from './shop.ts'

let plain: Shop
let captured: Shop

beforeAll(async () => {
  ;[plain, captured] = [await openShop(), await openShop()]
  await captured.attach()
})
afterAll(async () => {
  await captured.dispose()
  await plain.dispose()
})

/** What a call gives back, or how it fails, without what differs from one moment to the next. */
async function outcome(call: Promise<unknown>): Promise<unknown> {
  try {
    return timeless(await call)
  } catch (error) {
    return { failed: (error as Error).name, code: (error as { code?: unknown }).code }
  }
}

function timeless(value: unknown): unknown {
  if (value instanceof Date) return 'a moment'
  if (Array.isArray(value)) return value.map(timeless)
  if (typeof value !== 'object' || value === null) return value
  const copy: object = Object.create(Object.getPrototypeOf(value) as object | null) as object
  for (const [key, inner] of Object.entries(value)) Object.assign(copy, { [key]: timeless(inner) })
  return copy
}

async function tables({ dataSource }: Shop): Promise<unknown> {
  const rows: unknown[] = []
  for (const { tablePath } of dataSource.entityMetadatas) {
    rows.push(timeless(await dataSource.query(`SELECT * FROM ${tablePath} ORDER BY 1, 2`)))
  }
  return rows
}

async function run({ dataSource, Archive }: Shop, name: string, inside: boolean): Promise<unknown> {
  const call = calls[name]!
  return outcome(
    inside
      ? dataSource.transaction((manager) => call({ manager, Archive }))
      : call({ manager: dataSource.manager, Archive }),
  )
}

async function expectSame(sequence: readonly [string, boolean][]): Promise<void> {
  await Promise.all([plain.fill(), captured.fill()])
  for (const [name, inside] of sequence) {
    const [expected, found] = await Promise.all([run(plain, name, inside), run(captured, name, inside)])
    expect(found, name).toStrictEqual(expected)
  }
  expect(await tables(captured)).toEqual(await tables(plain))
}

test.each(Object.keys(calls))('%s gives back what it gives back without Redstream', async (name) => {
  await expectSame([[name, false]])
  await expectSame([[name, true]])
})

test('so does any sequence of calls, whatever the rows are like by then', async () => {
  const step = fc.tuple(fc.constantFrom(...Object.keys(calls)), fc.boolean())
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 6 }), (sequence) => expectSame(sequence)),
    { numRuns: 20 },
  )
}, 300_000)
