import { expect, test } from 'vitest'

import { runs, survivable, type Repertoire } from './arbitrary.ts'
import { expectBroken, expectKept, runsFor, seed } from './evidence.ts'
import { search } from './search.ts'

/** Random interleavings of large worlds: several rows, applications, consumers and groups, and every fault. */

test.each<[string, number, Repertoire]>([
  ['everything that the protocol is made for', 1_500, {}],
  ['the ticket counter is lost', 400, { faults: [...survivable, 'counter-lost'] }],
  ['the clock of Redis is set back', 400, { faults: [...survivable, 'clock-back'] }],
  ['the targets are lost', 400, { faults: [...survivable, 'targets-lost'] }],
  ['the targets are lost during a reindex', 400, { faults: ['targets-lost', 'copier-crash'], reindex: true }],
  ['a delay that is too short, and nobody dies', 300, { faults: [], times: { delayIsLongEnough: false } }],
  [
    'a delay that is too short, and the Delayer asks',
    600,
    {
      times: { delayIsLongEnough: false },
      by: ['save'],
      asks: ['database'],
      // The commit itself must be shorter than the delay.
      faults: survivable.filter((fault) => fault !== 'commit-unanswered'),
    },
  ],
  ['a reindex', 500, { reindex: true, rows: 2 }],
  ['one row', 1_000, { plain: true }],
])('keeps every promise: %s', (name, usual, repertoire) => {
  expectKept(name, search(runs(repertoire), runsFor(usual), seed, false))
})

test('a known limit: a delay that is shorter than a transaction, when the publisher dies', () => {
  const repertoire: Repertoire = {
    times: { delayIsLongEnough: false },
    by: ['save'],
    plain: true,
    asks: ['nobody'],
  }
  expectBroken(
    'short delay',
    search(runs(repertoire), runsFor(10_000), seed, false),
    /but the index has|never heard/,
  )
})

test('the same seed plays the same runs', () => {
  const again = (): ReturnType<typeof search> => search(runs(), 20, 7)
  expect(again()).toEqual(again())
})
