import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import type { WatchedTable } from '../../src/capture/watched-table.ts'
import { isSame } from '../../src/wal/log-tables.ts'
import { logNames } from '../../src/wal/names.ts'
import { formatLsn, parseLsn } from '../../src/wal/lsn.ts'
import { serverProblem } from '../../src/wal/refusals.ts'
import type { Slot } from '../../src/wal/slot.ts'
import { judgeSlot, lagMs, nextMark } from '../../src/wal/slot-verdict.ts'
import { areVisible } from '../../src/wal/visible.ts'

const lsns = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })

describe('positions in the log', () => {
  it('are read and written as PostgreSQL does', () => {
    expect(parseLsn('16/B374D848')).toBe(0x16_b374_d848n)
    expect(parseLsn('00000016/B374D848')).toBe(0x16_b374_d848n)
    expect(formatLsn(0x16_b374_d848n)).toBe('16/B374D848')
    fc.assert(
      fc.property(lsns, (lsn) => {
        expect(parseLsn(formatLsn(lsn))).toBe(lsn)
      }),
    )
  })
})

describe('a commit is visible to others', () => {
  it('when its transaction is neither running nor ahead of the snapshot', () => {
    expect(areVisible('10:20:', [9, 10, 19])).toBe(true)
    expect(areVisible('10:20:12,15', [11, 12])).toBe(false)
    expect(areVisible('10:20:', [20])).toBe(false)
  })

  it('also where the numbers of 32 bits begin anew', () => {
    const epoch = 2n ** 32n
    expect(areVisible(`${epoch - 2n}:${epoch + 3n}:${epoch + 1n}`, [2 ** 32 - 1, 0, 2])).toBe(true)
    expect(areVisible(`${epoch - 2n}:${epoch + 3n}:${epoch + 1n}`, [1])).toBe(false)
    expect(areVisible(`${epoch - 5n}:${epoch - 1n}:`, [0])).toBe(false)
  })

  it('as a snapshot of 64 bits says, for all transactions that are not too old', () => {
    const ages = fc.array(fc.integer({ min: -1_000, max: 1_000 }), { maxLength: 20 })
    fc.assert(
      fc.property(fc.bigInt({ min: 10_000n, max: 2n ** 40n }), ages, ages, (xmax, running, asked) => {
        const open = running.filter((age) => age < 0).map((age) => xmax + BigInt(age))
        const xids = asked.map((age) => xmax + BigInt(age))
        const expected = xids.every((xid) => xid < xmax && !open.includes(xid))
        const short = xids.map((xid) => Number(BigInt.asUintN(32, xid)))
        expect(areVisible(`${xmax - 1_000n}:${xmax}:${open.join(',')}`, short)).toBe(expected)
      }),
    )
  })
})

describe('the names', () => {
  it('tell databases apart that have the same letters and digits', () => {
    expect(logNames('redstream', 'shop')).toEqual({ publication: 'redstream', slot: 'redstream_shop' })
    expect(logNames('redstream', 'Shop').slot).not.toBe(logNames('redstream', 'shop').slot)
    expect(logNames('redstream', 'a-b').slot).not.toBe(logNames('redstream', 'a b').slot)
  })

  it('are allowed for slots', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 63 }), (database) => {
        expect(logNames('a'.repeat(40), database).slot).toMatch(/^[a-z0-9_]{1,63}$/)
      }),
    )
  })
})

describe('a server', () => {
  const server = { version: 180_000, isReplica: false, walLevel: 'logical', user: 'x' }
  it.each([
    [{}, undefined],
    [{ version: 130_011 }, /14 or newer/],
    [{ isReplica: true }, /read replica.*primary/],
    [{ walLevel: 'replica' }, /ALTER SYSTEM SET wal_level = logical/],
  ])('%o', (facts, problem) => {
    const found = serverProblem({ ...server, ...facts })
    if (problem === undefined) expect(found).toBeUndefined()
    else expect(found).toMatch(problem)
  })
})

describe('a slot', () => {
  const slot: Slot = {
    plugin: 'pgoutput',
    database: 'shop',
    walStatus: 'reserved',
    confirmed: 100n,
    keptBytes: 1_000,
    reader: undefined,
  }
  const limits = { name: 's', database: 'shop', walMaxLag: 1_000 }
  it.each<[string, Parameters<typeof judgeSlot>[0], Parameters<typeof judgeSlot>[1]]>([
    ['missing', { current: 0n, slot: undefined }, undefined],
    ['well', { current: 200n, slot }, { name: 's', confirmed: '0/C8' }],
    ['foreign', { current: 200n, slot: { ...slot, plugin: 'wal2json' } }, undefined],
    ['foreign', { current: 200n, slot: { ...slot, database: 'other' } }, undefined],
    ['given up', { current: 200n, slot: { ...slot, walStatus: 'lost' } }, undefined],
    ['given up', { current: 200n, slot: { ...slot, keptBytes: 1_001 } }, undefined],
    ['given up', { current: 200n, slot }, { name: 's', confirmed: '0/C9' }],
    ['well', { current: 200n, slot }, { name: 'another', confirmed: '0/C9' }],
  ])('is %s', (kind, look, known) => {
    expect(judgeSlot(look, known, limits).kind).toBe(kind)
  })

  it('may hold everything without a limit', () => {
    const look = { current: 200n, slot: { ...slot, keptBytes: 2 ** 50 } }
    expect(judgeSlot(look, undefined, { ...limits, walMaxLag: 0 }).kind).toBe('well')
  })

  it('is late by the time since its reader had read everything', () => {
    const at = (current: bigint, confirmed: bigint) => ({ current, slot: { ...slot, confirmed } })
    const first = nextMark(undefined, at(100n, 50n), 1_000)
    expect(lagMs(first, at(100n, 50n), 1_500)).toBe(500)
    const stuck = nextMark(first, at(300n, 60n), 2_000)
    expect(lagMs(stuck, at(300n, 60n), 9_000)).toBe(8_000)
    expect(lagMs(stuck, at(300n, 150n), 9_000)).toBe(8_000)
    expect(lagMs(stuck, at(300n, 300n), 9_000)).toBe(0)
  })
})

describe('an update', () => {
  const columns = new Set(['id', 'total'])
  const table: WatchedTable = { metadata: {} as WatchedTable['metadata'], key: [], former: [], columns }

  it('changes nothing when all columns that matter are as they were', () => {
    expect(isSame(table, { id: '1', total: null, note: 'a' }, { id: '1', total: null, note: 'b' })).toBe(true)
    expect(isSame(table, { id: '1', total: null }, { id: '1', total: '6' })).toBe(false)
  })

  it('may change a generated column, of which the log of PostgreSQL 17 tells nothing', () => {
    expect(isSame(table, { id: '1', price: '2' }, { id: '1', price: '3' })).toBe(false)
  })
})
