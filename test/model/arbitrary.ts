import * as fc from 'fast-check'

import {
  defaultTimes,
  trueRules,
  type Fault,
  type Operation,
  type RowState,
  type Rules,
  type Scenario,
  type Times,
  type Transaction,
} from './scenario.ts'

/** What random scenarios may contain. */
export interface Repertoire {
  readonly states?: readonly RowState[]
  readonly by?: readonly Transaction['by'][]
  readonly faults?: readonly Fault[]
  /** One row, one write per transaction, two consumers, batches of one: what is rare shows sooner. Default: no. */
  readonly plain?: boolean
  /** At most so many rows. Default: 3. */
  readonly rows?: number
  /** At most so many applications, with at most so many transactions each. Default: 3. */
  readonly applications?: number
  readonly transactions?: number
  /** A reindex, or none; default: in half of the scenarios. */
  readonly reindex?: boolean
  /** A second group and a Trimmer, or not; default: yes, unless it is plain. */
  readonly others?: boolean
  /** Whether the Delayer asks the database. Default: in some scenarios. */
  readonly asks?: readonly Scenario['asks'][]
  readonly rules?: Partial<Rules>
  readonly times?: Partial<Times>
}

/** Every fault that the protocol is made for, in any number. */
export const survivable: readonly Fault[] = [
  'application-crash',
  'commit-unanswered',
  'consumer-crash',
  'silence',
  'stop',
  'read-reply-lost',
  'refused',
  'answer-lost',
  'request-lost',
  'copier-crash',
]

const everyWayToAsk: readonly Scenario['asks'][] = ['nobody', 'database', 'database-that-may-not-know']
const allRows = ['a', 'b', 'c']
const mayBeSlow = ['application 1', 'consumer 1', 'consumer 2', 'Elasticsearch', 'the copier', 'the Delayer']

/** A scenario and the choices that it is played with. */
export function runs(repertoire: Repertoire = {}): fc.Arbitrary<[Scenario, number[]]> {
  const choices = fc.array(fc.nat({ max: 8 * 512 - 1 }), { minLength: 150, maxLength: 150 })
  return fc.tuple(scenarios(repertoire), choices)
}

function scenarios(repertoire: Repertoire): fc.Arbitrary<Scenario> {
  const { faults = survivable, rules, times, plain = false, others = !plain, reindex } = repertoire
  return fc
    .record({
      rows: fc
        .integer({ min: 1, max: plain ? 1 : (repertoire.rows ?? allRows.length) })
        .map((count) => allRows.slice(0, count)),
      consumers: plain ? fc.constant(2) : fc.integer({ min: 1, max: 3 }),
      concurrency: fc.integer({ min: 1, max: 2 }),
      batchSize: plain ? fc.constant(1) : fc.integer({ min: 1, max: 3 }),
      watchers: others ? fc.integer({ min: 0, max: 2 }) : fc.constant(0),
      trimmer: others ? fc.boolean() : fc.constant(false),
      reindex: reindex === undefined ? fc.boolean() : fc.constant(reindex),
      seeded: fc.boolean(),
      asks: fc.constantFrom(...(repertoire.asks ?? everyWayToAsk)),
      slow: fc.subarray(mayBeSlow, { maxLength: 2 }),
      faultBudget: fc.integer({ min: 0, max: 6 }),
    })
    .chain((chosen) =>
      programs(chosen.rows, repertoire).map((applications): Scenario => ({
        ...chosen,
        applications,
        faults,
        times: { ...defaultTimes, ...times },
        rules: { ...trueRules, ...rules },
        coarse: false,
      })),
    )
}

function programs(rows: readonly string[], repertoire: Repertoire): fc.Arbitrary<Transaction[][]> {
  const { applications = 3, transactions: most = 3 } = repertoire
  const program = fc.array(transactions(rows, repertoire), { minLength: 1, maxLength: most })
  return fc.array(program, { minLength: 1, maxLength: applications })
}

function transactions(
  rows: readonly string[],
  { states = ['plain', 'gone'], by = ['save', 'bulk'], plain = false }: Repertoire,
): fc.Arbitrary<Transaction> {
  const write: fc.Arbitrary<Operation> = fc.record({
    kind: fc.constant('write' as const),
    row: fc.constantFrom(...rows),
    state: fc.constantFrom(...states),
  })
  const savepoint: fc.Arbitrary<Operation> = fc.record({
    kind: fc.constantFrom('savepoint' as const, 'release' as const, 'rollback' as const),
  })
  const operation = plain
    ? write
    : fc.oneof({ weight: 3, arbitrary: write }, { weight: 1, arbitrary: savepoint })
  return fc.record({
    operations: fc.array(operation, { minLength: 1, maxLength: plain ? 1 : 5 }).map(wellFormed),
    ends: plain ? fc.constant('commit') : fc.constantFrom('commit', 'commit', 'commit', 'commit', 'rollback'),
    by: fc.constantFrom(...by),
  })
}

/** Savepoints in pairs, and rows in order, so that transactions cannot lock each other out. */
function wellFormed(operations: readonly Operation[]): Operation[] {
  const rows = operations.flatMap((operation) => (operation.kind === 'write' ? [operation.row] : [])).sort()
  let open = 0
  return operations.flatMap((operation): Operation[] => {
    if (operation.kind === 'write') return [{ ...operation, row: rows.shift()! }]
    if (operation.kind !== 'savepoint' && open === 0) return []
    open += operation.kind === 'savepoint' ? 1 : -1
    return [operation]
  })
}
