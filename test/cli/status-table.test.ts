import { expect, it } from 'vitest'

import { formatStatus } from '../../src/cli/status-table.ts'
import { formatInit } from '../../src/cli/commands/init.ts'
import { formatAge } from '../../src/runtime/age.ts'

const idle = { length: 0, undelivered: 0, pending: 0, lagMs: 0 }

it('shows a row for each stream, and the workers', () => {
  const text = formatStatus({
    streams: [
      {
        name: 'cities',
        main: { length: 171_075, undelivered: 12_000, pending: 4_000, lagMs: 95_000 },
        bulk: { length: 9_000, undelivered: 8_000, pending: 1_000, lagMs: 7_300_000 },
        delay: { length: 3, oldestMs: 12_345 },
        deadLetters: 2,
        unservedGroups: [],
      },
      {
        name: 'countries',
        main: idle,
        bulk: idle,
        delay: { length: 0, oldestMs: 0 },
        deadLetters: 0,
        unservedGroups: [{ group: 'cache', entries: 1_234, unservedMs: 7_300_000 }],
      },
    ],
    workers: [
      { kind: 'consumer', host: 'web-1', pid: 4711, seenMs: 340, progressMs: 840 },
      { kind: 'consumer', host: 'web-2', pid: 4712, seenMs: 40, progressMs: 95_000 },
    ],
  })
  expect(text).toBe(`\
┌───────────┬─────────┬────────┬─────────┬──────────┬───────────────────────────┬─────────────────┬──────────────┐
│ stream    │  length │ unread │ pending │      lag │                 bulk lane │         delayed │ dead letters │
├───────────┼─────────┼────────┼─────────┼──────────┼───────────────────────────┼─────────────────┼──────────────┤
│ cities    │ 171,075 │ 12,000 │   4,000 │ 1 m 35 s │ 9,000 to do (lag 2 h 1 m) │ 3 (oldest 12 s) │            2 │
├───────────┼─────────┼────────┼─────────┼──────────┼───────────────────────────┼─────────────────┼──────────────┤
│ countries │       0 │      0 │       0 │     0 ms │                         0 │               0 │            0 │
└───────────┴─────────┴────────┴─────────┴──────────┴───────────────────────────┴─────────────────┴──────────────┘
Consumer groups that nobody serves:
  cache of countries: 1,234 entries wait for it, last served 2 h 1 m ago
Workers alive:
  consumer  web-1, process 4711, seen 340 ms ago
  consumer  web-2, process 4712, seen 40 ms ago, no progress for 1 m 35 s
`)
})

it('says how to start workers when there is none', () => {
  expect(formatStatus({ streams: [], workers: [] })).toContain(
    'No worker is alive; start them with: redstream run',
  )
})

it('shows long lags, dead letters and groups that nobody serves in colour', () => {
  const main = { ...idle, lagMs: 60_001 }
  const stream = {
    name: 'a',
    main,
    bulk: idle,
    delay: { length: 0, oldestMs: 0 },
    deadLetters: 7,
    unservedGroups: [{ group: 'cache', entries: 0, unservedMs: 60_000 }],
  }
  const text = formatStatus({ streams: [stream], workers: [] }, { color: true })
  expect(text).toContain('\u001B[33m1 m 0 s\u001B[39m')
  expect(text).toContain('\u001B[31m7\u001B[39m')
  expect(text).toContain('\u001B[33mConsumer groups that nobody serves:\u001B[39m')
})

it.each([
  [0, '0 ms'],
  [999, '999 ms'],
  [1_000, '1 s'],
  [59_999, '59 s'],
  [60_000, '1 m 0 s'],
  [3_599_999, '59 m 59 s'],
  [3_600_000, '1 h 0 m'],
  [86_399_999, '23 h 59 m'],
  [180_000_000, '2 d 2 h'],
])('shows %d ms as %s', (ms, text) => {
  expect(formatAge(ms)).toBe(text)
})

it('shows what init did', () => {
  expect(
    formatInit([
      { name: 'cities', physical: 'cities-1', action: 'created', changes: [] },
      { name: 'people', physical: 'people-1', action: 'updated', changes: ['added the field age'] },
    ]),
  ).toBe('created    cities -> cities-1\nupdated    people -> people-1\n           added the field age\n')
})
