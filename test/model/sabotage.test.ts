import { test } from 'vitest'

import { runs, type Repertoire } from './arbitrary.ts'
import { expectBroken, expectKept, runsFor, seed } from './evidence.ts'
import { explore } from './explore.ts'
import type { Rules, Scenario } from './scenario.ts'
import { search } from './search.ts'
import { smallProtocol, smallReindex } from './small.ts'

/** The protocol with one rule broken: the simulation must find what follows, or it would prove nothing. */
interface Sabotage {
  readonly name: string
  readonly rules: Partial<Rules>
  /** A small world in which it shows, and in which the true rules hold. */
  readonly world: (rules?: Partial<Rules>) => Scenario
  readonly problem: RegExp
  /** Random worlds in which it shows. Missing where that takes too many runs to be tested each time. */
  readonly repertoire?: Repertoire
}

const oneRow: Repertoire = { plain: true, applications: 2, transactions: 2, faults: [] }
const asking = { asks: 'database', times: { delayIsLongEnough: false } } as const
const falseAlarm = /taken for one that went backwards/
const lost = /row is 1, but the index has 0/

const sabotages: readonly Sabotage[] = [
  {
    name: 'the ticket is taken after the read',
    rules: { versions: 'ticket-after-read' },
    world: (rules) => smallProtocol({ budget: 0, ...given(rules) }),
    problem: /row is 2, but the index has 1/,
    repertoire: oneRow,
  },
  {
    name: 'documents are written without versions',
    rules: { versions: 'none' },
    world: (rules) => smallProtocol({ budget: 0, ...given(rules) }),
    problem: /row is 2, but the index has 1/,
    repertoire: oneRow,
  },
  {
    name: 'entries are acknowledged before Elasticsearch answers',
    rules: { acknowledge: 'before-answer' },
    world: (rules) =>
      smallProtocol({
        states: ['plain'],
        faults: ['request-lost', 'consumer-crash'],
        budget: 2,
        ...given(rules),
      }),
    problem: lost,
    repertoire: { ...oneRow, faults: ['request-lost', 'consumer-crash'] },
  },
  {
    name: 'the Trimmer ignores a group that has read nothing',
    rules: { trim: 'groups-that-have-read' },
    world: (rules) => trimmed({ states: ['plain'], budget: 0, ...given(rules) }),
    problem: lost,
    repertoire: {},
  },
  {
    name: 'the Trimmer ignores what is pending',
    rules: { trim: 'what-is-read' },
    world: (rules) => trimmed({ states: ['plain'], faults: ['read-reply-lost'], ...given(rules) }),
    problem: /row is 1, but the index has 0|never heard/,
    repertoire: {},
  },
  {
    name: 'delay entries are deleted before the publish',
    rules: { publish: 'delay-entries-deleted-first' },
    world: (rules) => smallProtocol({ states: ['plain'], ...given(rules) }),
    problem: lost,
    repertoire: { ...oneRow, faults: ['application-crash'] },
  },
  {
    name: 'delay entries are deleted when COMMIT has failed',
    rules: { failedCommit: 'delay-messages-deleted' },
    world: (rules) => smallProtocol({ states: ['plain'], faults: ['commit-unanswered'], ...given(rules) }),
    problem: lost,
    repertoire: { ...oneRow, faults: ['commit-unanswered'] },
  },
  {
    name: 'a bulk that took longer than the delay relies on its delay messages',
    rules: { bulk: 'moves' },
    world: (rules) =>
      smallProtocol({
        states: ['plain'],
        by: 'bulk',
        budget: 0,
        times: { delayIsLongEnough: false },
        ...given(rules),
      }),
    problem: lost,
    repertoire: { by: ['bulk'], faults: [], times: { delayIsLongEnough: false } },
  },
  {
    name: 'the Delayer suspects nobody',
    rules: { suspects: 'none' },
    world: (rules) => smallProtocol({ states: ['plain'], asks: 'database', ...given(rules) }),
    problem: lost,
    repertoire: { ...oneRow, faults: ['application-crash'], asks: ['database'] },
  },
  {
    name: 'the Delayer takes open transactions for aborted ones',
    rules: { inProgress: 'taken-for-aborted' },
    world: (rules) => smallProtocol({ states: ['plain'], ...asking, ...given(rules) }),
    problem: lost,
    repertoire: { ...oneRow, faults: ['application-crash'], ...asking, asks: ['database'] },
  },
  {
    name: 'an old transaction does not say which one it is',
    rules: { named: 'never' },
    world: (rules) => smallProtocol({ states: ['plain'], ...asking, ...given(rules) }),
    problem: lost,
    repertoire: { ...oneRow, faults: ['application-crash'], ...asking, asks: ['database'] },
  },
  {
    name: 'there are no delay messages',
    rules: { delayMessages: 'none' },
    world: (rules) => smallProtocol({ states: ['plain'], ...given(rules) }),
    problem: lost,
    repertoire: { ...oneRow, by: ['save'], faults: ['application-crash'] },
  },
  {
    name: 'the targets are learned at sending',
    rules: { targets: 'at-sending' },
    world: (rules) => smallReindex({ budget: 0, ...given(rules) }),
    problem: /row is gone, but the index has 1/,
  },
  {
    name: 'a reindex does not look whether Redis has lost the targets',
    rules: { lostTargets: 'unnoticed' },
    world: (rules) => smallReindex({ states: ['plain'], faults: ['targets-lost'], ...given(rules) }),
    problem: /row is 1, but the index has/,
    repertoire: { reindex: true, faults: ['targets-lost'] },
  },
  {
    name: 'tombstones are collected at any time',
    rules: { tombstones: 'any-time' },
    world: (rules) => smallReindex({ budget: 0, ...given(rules) }),
    problem: /row is gone, but the index has 1/,
  },
  {
    name: 'a conflict with a counter that went backwards counts as success',
    rules: { conflicts: 'taken-for-success' },
    world: (rules) => ({
      ...smallProtocol({ faults: ['counter-lost'], rules: { tickets: 'counter', ...rules } }),
      consumers: 1,
    }),
    problem: /row is 2, but the index has 1/,
  },
  {
    name: 'conflicts are judged by a ticket that is older than the stored versions',
    rules: { compare: 'ticket-first' },
    world: (rules) => smallProtocol(given(rules)),
    problem: falseAlarm,
    repertoire: { plain: true, applications: 2, transactions: 2 },
  },
  {
    name: 'an older batch removes the dead letter of a newer one',
    rules: { letters: 'any' },
    world: (rules) => smallProtocol({ states: ['plain', 'poison'], budget: 0, ...given(rules) }),
    problem: /cannot be indexed, but there is no dead letter/,
  },
  {
    name: 'a row is not read again after its dead letter',
    rules: { letters: 'by-ticket' },
    world: (rules) => smallProtocol({ states: ['poison', 'plain'], budget: 0, ...given(rules) }),
    problem: /is indexed, but there is a dead letter/,
    repertoire: { states: ['plain', 'poison'], faults: [] },
  },
]

test.each(sabotages)('every interleaving of a small world: $name', ({ name, rules, world, problem }) => {
  expectBroken(name, explore(world(rules)), problem)
  expectKept(`${name}, not sabotaged`, explore(world()))
})

test.each(sabotages.filter(({ repertoire }) => repertoire !== undefined))(
  'random runs of large worlds: $name',
  ({ name, rules, repertoire }) => {
    const found = search(runs({ ...repertoire, rules }), runsFor(10_000), seed, false)
    expectBroken(name, found, /but the index has|never heard|backwards|dead letter/)
  },
)

/** A world with a second group and a Trimmer; nobody dies between commit and publish. */
function trimmed(choices: Parameters<typeof smallProtocol>[0] & object): Scenario {
  const rules: Partial<Rules> = { delayMessages: 'none', ...choices.rules }
  return { ...smallProtocol({ ...choices, rules }), consumers: 1, watchers: 1, trimmer: true }
}

function given(rules: Partial<Rules> | undefined): { rules?: Partial<Rules> } {
  return rules === undefined ? {} : { rules }
}
