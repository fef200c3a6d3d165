import { In, IsNull, LessThan } from 'typeorm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { Redstream } from '../../src/redstream.ts'
import { drivers, isAvailable, skipWithout, type Driver } from '../support/databases.ts'
import { Item, Line, Shelf, Ticket, Word } from './entities.ts'
import { openShop, type Scene, type Shop } from './shop.ts'

const shops = new Map<Driver, Shop>()

beforeAll(async () => {
  for (const driver of drivers) if (isAvailable(driver)) shops.set(driver, await openShop(driver))
})
afterAll(() => Promise.all([...shops.values()].map((shop) => shop.dispose())))

type Call = (redstream: Redstream, scene: Scene) => Promise<{ affected: number }>

/** What each write must say it has changed, and how many rows it affects itself. */
const writes: Record<string, { call: Call; affected: number }> = {
  'update by columns': {
    call: (redstream) =>
      redstream.update(Item, { stock: 0, name: In(['a', 'b']) }, { stock: () => 'in_stock + 5' }),
    affected: 2,
  },
  'update by a relation to one': {
    call: (redstream) => redstream.update(Item, { shelf: { name: 'upper' } }, { active: false }),
    affected: 4,
  },
  'update by a relation to many': {
    call: (redstream) => redstream.update(Item, { lines: { amount: LessThan(1) } }, { price: 2 }),
    affected: 1,
  },
  'update of a foreign key': {
    call: (redstream, { shelves }) => redstream.update(Item, { name: 'a' }, { shelf: { id: shelves[1].id } }),
    affected: 1,
  },
  'update of rows with a composite key': {
    call: (redstream) => redstream.update(Line, { code: 'x' }, { amount: 4 }),
    affected: 2,
  },
  'update of rows whose key is a text': {
    call: (redstream) => redstream.update(Word, { text: 'Apfel' }, { uses: 4 }),
    affected: 1,
  },
  'update of nothing': {
    call: (redstream) => redstream.update(Item, { name: 'nobody' }, { stock: 1 }),
    affected: 0,
  },
  'delete, and what goes with it': {
    call: (redstream) => redstream.delete(Item, { name: In(['c', 'd']) }),
    affected: 2,
  },
  'delete, and what changes with it': {
    call: (redstream) => redstream.delete(Shelf, { name: 'upper' }),
    affected: 1,
  },
  'delete of rows with a composite key': {
    call: (redstream) => redstream.delete(Line, { item: IsNull() }),
    affected: 1,
  },
  'insert with keys that the database makes': {
    call: (redstream) => redstream.insert(Item, [{ name: 'x' }, { name: 'y' }, { name: 'z' }]),
    affected: 3,
  },
  'insert with uuids': {
    call: (redstream) => redstream.insert(Ticket, [{ name: 'x' }, { name: 'y' }]),
    affected: 2,
  },
  'insert with keys of ours': {
    call: (redstream) => redstream.insert(Word, [{ text: 'Kirsche' }, { text: 'Pflaume' }]),
    affected: 2,
  },
}

describe.each(drivers)('%s', (driver) => {
  describe.each(['on', 'off'] as const)('returning %s', (returning) => {
    test.for(Object.entries(writes))('%s', async ([, { call, affected }], context) => {
      skipWithout(driver, context)
      const shop = shops.get(driver)!
      const scene = await shop.fill()
      const { redstream, keysIn, log } = await shop.attach({ returning })
      const before = await shop.rows()
      expect(await call(redstream, scene)).toEqual({ affected })
      const after = await shop.rows()
      const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
        (key) => before.get(key) !== after.get(key),
      )
      expect(await keysIn('main')).toEqual(changed.toSorted())
      expect(await keysIn('delay')).toEqual([])
      expect(log).toEqual([])
    })
  })

  test('many rows, with a key in two parts', async (context) => {
    skipWithout(driver, context)
    const shop = shops.get(driver)!
    await shop.fill()
    const { redstream, keysIn } = await shop.attach()
    const lines = Array.from({ length: 1_300 }, (_, i) => ({ order: String(i % 50), code: `c${i}` }))
    expect(await redstream.insert(Line, lines)).toEqual({ affected: 1_300 })
    expect(await keysIn('bulk')).toHaveLength(1_300)
    expect(await redstream.update(Line, { amount: 0 }, { amount: 1 })).toEqual({ affected: 1_303 })
    expect(await keysIn('main')).toHaveLength(1_000)
    expect(await redstream.delete(Line, { amount: 1 })).toEqual({ affected: 1_303 })
    expect(await keysIn('delay')).toEqual([])
  })
})
