import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import {
  entriesPerRead,
  isQuiet,
  laneOfTurn,
  mayClaim,
  mayReadBulk,
  membersToSearch,
  nextClaim,
  type ClaimView,
} from '../../src/streams/claim-policy.ts'
import type { PendingEntry } from '../../src/streams/replies.ts'

const view = (changes: Partial<ClaimView> = {}): ClaimView => ({
  me: 'me',
  inFlight: new Set(),
  alive: new Set(['me', 'neighbour']),
  takeOverAfterMs: 2_000,
  ...changes,
})
const entry = (changes: Partial<PendingEntry> = {}): PendingEntry => ({
  id: '5-0',
  consumer: 'dead',
  idleMs: 0,
  deliveries: 1,
  ...changes,
})

test('entries of a dead member are taken at once', () => {
  expect(mayClaim(entry(), view())).toBe(true)
})

test('entries of a living member are never taken, however long it works on them', () => {
  fc.assert(
    fc.property(fc.nat(), fc.nat(), (idleMs, deliveries) => {
      expect(mayClaim(entry({ consumer: 'neighbour', idleMs, deliveries }), view())).toBe(false)
    }),
  )
})

test('our own entries are taken again when we do not work on them and no reply can be under way', () => {
  const ours = (idleMs: number): PendingEntry => entry({ consumer: 'me', idleMs })
  expect(mayClaim(ours(1_999), view())).toBe(false)
  expect(mayClaim(ours(2_000), view())).toBe(true)
  expect(mayClaim(ours(1e9), view({ inFlight: new Set(['5-0']) }))).toBe(false)
})

test('our own entries are not taken for those of a dead member when our heartbeat is late', () => {
  const alive = new Set(['neighbour'])
  expect(mayClaim(entry({ consumer: 'me' }), view({ alive, inFlight: new Set(['5-0']) }))).toBe(false)
  expect(mayClaim(entry({ consumer: 'me' }), view({ alive }))).toBe(false)
})

test('only members whose entries may be taken are searched', () => {
  const members = new Map([
    ['me', 1],
    ['neighbour', 500],
    ['dead', 3],
    ['dead and empty-handed', 0],
  ])
  expect(membersToSearch(members, view())).toEqual(['me', 'dead'])
  expect(membersToSearch(members, view({ inFlight: new Set(['5-0']) }))).toEqual(['dead'])
})

test('a member is searched whenever one of its entries may be taken', () => {
  const names = fc.constantFrom('me', 'neighbour', 'dead', 'late')
  const pending = fc.uniqueArray(fc.tuple(fc.nat({ max: 30 }), names, fc.nat({ max: 4_000 })), {
    selector: ([id]) => id,
  })
  fc.assert(
    fc.property(pending, fc.nat({ max: 30 }), (all, inFlight) => {
      const entries = all.map(([id, consumer, idleMs]) => entry({ id: `${id}-0`, consumer, idleMs }))
      // Everything that we work on is pending in our name, or somebody else took it.
      const own = entries.filter(({ consumer }) => consumer === 'me').slice(0, inFlight)
      const now = view({ inFlight: new Set(own.map(({ id }) => id)) })
      const counts = new Map<string, number>()
      for (const { consumer } of entries) counts.set(consumer, (counts.get(consumer) ?? 0) + 1)
      const searched = membersToSearch(counts, now)
      for (const one of entries) if (mayClaim(one, now)) expect(searched).toContain(one.consumer)
    }),
  )
})

test('the bulk lane gets every eighth turn, the main lane all others', () => {
  const turns = Array.from({ length: 80 }, (_, turn) => laneOfTurn(turn))
  expect(turns.filter((lane) => lane === 'bulk')).toHaveLength(10)
  expect(turns[0]).toBe('main')
  for (let first = 0; first + 8 <= turns.length; first++)
    expect(turns.slice(first, first + 8)).toContain('bulk')
})

test('what was delivered once is taken over in whole batches, then in smaller ones, in the end alone', () => {
  const pending = (deliveries: number): PendingEntry[] =>
    Array.from({ length: 2_000 }, (_, i) => entry({ id: `${i}-0`, deliveries }))
  const sizes = [1, 2, 3, 4, 5, 9].map((deliveries) => nextClaim(pending(deliveries), 1_000)!)
  expect(sizes.map(({ entries }) => entries.length)).toEqual([1_000, 125, 15, 1, 1, 1])
  expect(sizes.map(({ alone }) => alone)).toEqual([false, false, false, true, true, true])
  expect(sizes.map(({ deliveries }) => deliveries)).toEqual([2, 3, 4, 5, 6, 10])
})

test('the entries with the fewest deliveries are taken first, and never together with others', () => {
  const counts = fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 50 })
  fc.assert(
    fc.property(counts, fc.integer({ min: 1, max: 10_000 }), (deliveries, batchSize) => {
      const pending = deliveries.map((count, i) => entry({ id: `${i}-0`, deliveries: count }))
      const claim = nextClaim(pending, batchSize)!
      expect(claim.entries.length).toBeGreaterThan(0)
      expect(claim.entries.length).toBeLessThanOrEqual(batchSize)
      const taken = new Set(claim.entries.map((one) => one.deliveries))
      expect(taken).toEqual(new Set([Math.min(...deliveries)]))
    }),
  )
  expect(nextClaim([], 100)).toBeUndefined()
})

test('one place of several is kept for the main lane', () => {
  expect(mayReadBulk(0, 1)).toBe(true)
  expect(mayReadBulk(1, 1)).toBe(false)
  expect(mayReadBulk(2, 4)).toBe(true)
  expect(mayReadBulk(3, 4)).toBe(false)
})

test('batches of the bulk lane are small, whatever the batch size', () => {
  expect(entriesPerRead(['main'], 1_000, false)).toBe(1_000)
  expect(entriesPerRead(['bulk'], 1_000, false)).toBe(250)
  expect(entriesPerRead(['main', 'bulk'], 1_000, false)).toBe(250)
  expect(entriesPerRead(['bulk'], 100, false)).toBe(100)
})

test('when the main lane has been quiet, batches of the bulk lane are full', () => {
  expect([0, 4_999, 5_000, Infinity].map(isQuiet)).toEqual([false, false, true, true])
  expect(entriesPerRead(['bulk'], 1_000, true)).toBe(1_000)
})
