import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { section, tableRows } from '../docs/markdown.ts'
import { drivers, isAvailable, skipWithout, type Driver } from '../support/databases.ts'
import { calls } from './calls.ts'
import { openShop, type Scene, type Shop } from './shop.ts'

type Call = (scene: Scene) => Promise<unknown>

const columns = ['postgres', 'mariadb', 'mysql', 'better-sqlite3'] as const satisfies readonly Driver[]
const table = tableRows(section('docs/guarantees.md', 'Other databases')).filter(([call = '']) =>
  call.startsWith('`'),
)
const documented = new Map(
  table.map(([call = '', ...outcomes]) => [
    call.replaceAll('`', ''),
    Object.fromEntries(columns.map((driver, i) => [driver, outcomes[i]])),
  ]),
)

test('the table of other databases in docs/guarantees.md names the calls that are tried here', () => {
  expect([...documented.keys()]).toEqual(Object.keys(calls))
})

describe.each(drivers)('%s: no write is missed silently', (driver) => {
  let shop: Shop

  beforeAll(async () => {
    if (isAvailable(driver)) shop = await openShop(driver)
  })
  afterAll(() => shop?.dispose())
  beforeEach((context) => skipWithout(driver, context))

  test.each(Object.entries(calls))('%s', async (name, call) => {
    const outside = await outcomeOf(shop, call, false)
    const inside = await outcomeOf(shop, call, true)
    const both = outside === inside ? outside : `${outside} / ${inside}`
    expect(both).toBe(documented.get(name)?.[driver])
  })
})

/** What Redstream does about a write, in the words of docs/guarantees.md; `nothing` where nothing was written. */
async function outcomeOf(shop: Shop, call: Call, inside: boolean): Promise<string> {
  const scene = await shop.fill()
  // Delay messages stay, so that they can be looked for afterwards.
  const app = await shop.attach({ delay: { requeue: 'always' } })
  const before = await shop.rows()
  if (inside) await shop.dataSource.transaction((manager) => call({ ...scene, manager }))
  else await call(scene)
  await app.redstream.close()
  const written = differences(before, await shop.rows())
  const published = await app.keysIn('main')
  if (app.log.some(({ message }) => message.includes('names no ids'))) return 'reported'
  expect(published).toEqual(expect.arrayContaining(written))
  if (published.length === 0) return 'nothing'
  const delayed = await app.keysIn('delay')
  return published.every((key) => delayed.includes(key)) ? 'safe' : 'at once'
}

function differences(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  const keys = new Set([...before.keys(), ...after.keys()])
  return [...keys].filter((key) => before.get(key) !== after.get(key)).toSorted()
}
