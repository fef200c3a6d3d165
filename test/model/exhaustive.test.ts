import { expect, test } from 'vitest'

import { expectBroken, expectKept } from './evidence.ts'
import { explore } from './explore.ts'
import type { Fault, Rules } from './scenario.ts'
import { smallProtocol, type Choices } from './small.ts'

/**
 * Every interleaving of a small world. The rows that name arguments are those of the model that the protocol was
 * designed with (one row, commits by several applications, two consumers), and say the same.
 */

const losses: readonly Fault[] = ['application-crash', 'consumer-crash', 'silence', 'counter-lost']
const counterOnly: Partial<Rules> = { tickets: 'counter' }
const shortDelay = { delayIsLongEnough: false }
const oneCommit: Choices = { states: ['plain'], budget: 2 }
const unanswered: Choices = { faults: ['commit-unanswered', 'application-crash'], budget: 2 }
const stale = /row is 2, but the index has 1/

test.each<[string, Choices]>([
  ['the protocol', {}],
  ['--crashes 0', { budget: 0 }],
  ['--crashes 2', { budget: 2 }],
  ['--k 3', { states: ['plain', 'plain', 'plain'] }],
  ['--repair 0', { rules: { conflicts: 'taken-for-success' } }],
  ['--short-delay 1 --crashes 0', { budget: 0, times: shortDelay }],
  ['the Delayer asks, --crashes 0', { asks: 'database', budget: 0 }],
  ['the Delayer asks, --short-delay 1 --crashes 0', { asks: 'database', times: shortDelay, budget: 0 }],
  [
    'the Delayer asks, --short-delay 1 --k 1 --crashes 2',
    { ...oneCommit, asks: 'database', times: shortDelay },
  ],
  [
    'the Delayer asks a database that may not know, --k 1',
    { ...oneCommit, asks: 'database-that-may-not-know' },
  ],
  ['the Delayer asks, a commit without an answer', { ...oneCommit, asks: 'database', ...unanswered }],
  ['tickets without a clock', { rules: counterOnly }],
  ['the ticket counter is lost, and the clock is not', { faults: losses, budget: 2 }],
  ['the last commit deletes', { states: ['plain', 'gone'] }],
  ['a publish that is later than the delay', { times: { publishIsInTime: false } }],
  ['bulk', { by: 'bulk' }],
  ['a commit without an answer', unanswered],
  ['Elasticsearch away', { faults: ['refused', 'answer-lost', 'request-lost'], budget: 2 }],
  ['a read whose reply is lost', { faults: ['read-reply-lost', 'consumer-crash'], budget: 2 }],
])('converges: %s', (name, choices) => {
  expectKept(name, explore(smallProtocol(choices)))
})

test.each<[string, Choices]>([
  ['--version none', { rules: { versions: 'none' } }],
  ['--version ticket_after_read', { rules: { versions: 'ticket-after-read' } }],
  ['--short-delay 1', { times: shortDelay }],
  ['--loss 1', { faults: losses, budget: 2, rules: counterOnly }],
  [
    '--loss 1 --repair 0',
    { faults: losses, budget: 2, rules: { ...counterOnly, conflicts: 'taken-for-success' } },
  ],
])('goes wrong: %s', (name, choices) => {
  expectBroken(name, explore(smallProtocol(choices)), stale)
})

test.each<[string, Choices]>([
  ['the database may not know, --short-delay 1', { asks: 'database-that-may-not-know' }],
  ['COMMIT itself takes longer than the delay', { asks: 'database', ...unanswered }],
])('the limits of asking: %s', (name, choices) => {
  const scenario = smallProtocol({ ...oneCommit, ...choices, times: shortDelay })
  expectBroken(name, explore(scenario), /row is 1, but the index has 0/)
})

test('a scenario that is too large says so', () => {
  expect(() => explore(smallProtocol(), 100)).toThrow('more than 100 states')
})
