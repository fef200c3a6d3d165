import {
  defaultTimes,
  trueRules,
  type Fault,
  type RowState,
  type Rules,
  type Scenario,
  type Times,
  type Transaction,
} from './scenario.ts'

/** One row, two consumers, and everything else as small as it gets: what the exhaustive search can visit completely. */

export interface Choices {
  /** What each commit makes of the row. Default: two plain writes. */
  readonly states?: readonly RowState[]
  readonly faults?: readonly Fault[]
  /** How many faults may happen. Default: 1. */
  readonly budget?: number
  readonly by?: Transaction['by']
  readonly asks?: Scenario['asks']
  readonly rules?: Partial<Rules>
  readonly times?: Partial<Times>
}

const row = 'row'
const never = Infinity

/**
 * Commits of one row, each by an application of its own, with crashes on both sides and consumers that are taken for
 * dead.
 */
export function smallProtocol(choices: Choices = {}): Scenario {
  const { states = ['plain', 'plain'], by = 'save' } = choices
  return {
    ...small(choices),
    applications: states.map((state) => [commit(state, by)]),
    reindex: false,
    faults: choices.faults ?? ['application-crash', 'consumer-crash', 'silence'],
  }
}

/** A live reindex while one application commits several times; it does not die, so it needs no delay messages. */
export function smallReindex(choices: Choices = {}): Scenario {
  const { states = ['plain', 'gone'], by = 'save' } = choices
  return {
    ...small({ ...choices, rules: { delayMessages: 'none', ...choices.rules } }),
    applications: [states.map((state) => commit(state, by))],
    reindex: true,
    faults: choices.faults ?? ['silence'],
  }
}

function small({
  budget = 1,
  asks = 'nobody',
  rules,
  times,
}: Choices): Omit<Scenario, 'applications' | 'reindex' | 'faults'> {
  return {
    rows: [row],
    consumers: 2,
    concurrency: 1,
    batchSize: 1,
    watchers: 0,
    trimmer: false,
    seeded: true,
    asks,
    coarse: true,
    slow: [],
    faultBudget: budget,
    times: {
      ...defaultTimes,
      publishIsInTime: true,
      takeOverAfter: 0,
      ticketMaxAge: never,
      gcDeletes: never,
      ...times,
    },
    rules: { ...trueRules, tombstones: 'kept', ...rules },
  }
}

function commit(state: RowState, by: Transaction['by']): Transaction {
  return { operations: [{ kind: 'write', row, state }], ends: 'commit', by }
}
