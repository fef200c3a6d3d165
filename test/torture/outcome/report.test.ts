import { expect, test } from 'vitest'

import { emptiness, formatDifference, formatReport, isGood, type Report } from './report.ts'

const good: Report = {
  seed: 7,
  seconds: 60,
  capture: 'subscriber',
  writers: 3,
  consumers: 3,
  writes: {
    changes: { update: 1_200 },
    paths: { save: 900, bulk: 20 },
    ends: { done: 910, killed: 10 },
    longestMs: 12,
  },
  faults: { 'writers killed': 4 },
  requests: { forward: 10, hold: 2 },
  healed: { 'entries taken over': 3 },
  rows: 1_000,
  documents: 1_000,
  missing: 0,
  stale: 0,
  orphaned: 0,
  unheard: 0,
  left: {},
  problems: [],
  drainSeconds: 5,
}

test('anything lost, stale or left makes the outcome bad', () => {
  expect(isGood(good)).toBe(true)
  for (const flaw of [
    { missing: 1 },
    { stale: 1 },
    { orphaned: 1 },
    { unheard: 1 },
    { left: { key: '1 entries' } },
    { problems: ['a process ended'] },
  ]) {
    expect(isGood({ ...good, ...flaw })).toBe(false)
  }
})

test('a torture that did next to nothing proves nothing', () => {
  expect(emptiness(good)).toEqual([])
  expect(emptiness({ ...good, rows: 3 })).toHaveLength(1)
  expect(emptiness({ ...good, writes: { ...good.writes, ends: { 'no Redis': 1_000 } } })).toHaveLength(1)
})

test('says what it did and found', () => {
  expect(formatReport({ ...good, stale: 1, folder: '/logs', left: { 'a:delay': '2 entries' } }))
    .toMatchInlineSnapshot(`
    "seed 7, 60 s, capture subscriber, 3 writers, 3 consumers
    writes         920: done 910, killed 10; the longest took 12 ms
    ways           save 900, bulk 20
    rows changed   update 1,200
    faults         writers killed 4
    requests       forward 10, hold 2
    healed         entries taken over 3
    drained        5 s after the last write
    left           a:delay: 2 entries
    logs           /logs
    1,000 rows, 1,000 documents: 0 missing, 1 stale, 0 orphaned, 0 unheard of
    "
  `)
})

test('shows row and document of a difference', () => {
  const found = { content: { name: 'old' }, version: 17 }
  expect(formatDifference({ kind: 'stale', index: 'cities', id: '5', expected: { name: 'new' }, found }))
    .toMatchInlineSnapshot(`
    "stale: document 5 of cities
      the row says       {"name":"new"}
      the document says  {"name":"old"}, version 17"
  `)
  expect(formatDifference({ kind: 'orphaned', index: 'cities', id: '5', found })).toContain(
    'the row says       there is none',
  )
})
