/** What is played: who takes part, what they do, what may go wrong, and which rules of the protocol hold. */
export interface Scenario {
  readonly rows: readonly string[]
  /** One process of the application each, with the transactions that it makes one after the other. */
  readonly applications: readonly (readonly Transaction[])[]
  /** Members of the group "index". */
  readonly consumers: number
  /** Batches in flight per consumer. */
  readonly concurrency: number
  readonly batchSize: number
  /** Members of a second group, which hears of every change but indexes nothing. */
  readonly watchers: number
  readonly trimmer: boolean
  /** A live reindex: copy into a new index, swap, drop the old one. */
  readonly reindex: boolean
  /** The index holds every row at the start. */
  readonly seeded: boolean
  /**
   * Whether the Delayer asks the database about the transactions of delay messages: it does not, it does, or it does and
   * the database may not know.
   */
  readonly asks: 'nobody' | 'database' | 'database-that-may-not-know'
  readonly faults: readonly Fault[]
  /** How many faults may happen in one run. */
  readonly faultBudget: number
  readonly times: Times
  readonly rules: Rules
  /**
   * Steps that nobody else can tell apart are taken as one, for the exhaustive search: a statement and its commit, the
   * look at pending entries and their take-over.
   */
  readonly coarse: boolean
  /** Who gets a turn less often, in random runs; by the first words of their steps. */
  readonly slow: readonly string[]
}

export interface Transaction {
  readonly operations: readonly Operation[]
  readonly ends: 'commit' | 'rollback'
  /** `save` and `remove` publish to the main lane; `bulk` notes its rows first and moves them to the bulk lane. */
  readonly by: 'save' | 'bulk'
}

export type Operation =
  | { readonly kind: 'write'; readonly row: string; readonly state: RowState }
  | { readonly kind: 'savepoint' | 'release' | 'rollback' }

/** `poison`: a row whose document Elasticsearch will never take. */
export type RowState = 'plain' | 'poison' | 'gone'

/** All in ms. */
export interface Times {
  readonly delay: number
  /** The delay is longer than every transaction, as the documentation demands. */
  readonly delayIsLongEnough: boolean
  /** The publish comes within the delay too, unless its process dies: fewer worlds for the exhaustive search. */
  readonly publishIsInTime: boolean
  readonly takeOverAfter: number
  readonly ticketMaxAge: number
  /** `index.gc_deletes`; a request is never under way for longer than this minus `ticketMaxAge`. */
  readonly gcDeletes: number
}

/** What may happen at any moment, as long as the budget lasts. */
export type Fault =
  | 'application-crash'
  /** The answer to COMMIT is lost: the transaction may be committed, and the application takes it for failed. */
  | 'commit-unanswered'
  | 'consumer-crash'
  /** A living consumer looks dead: others take its entries over. */
  | 'silence'
  /** A process is stopped (SIGSTOP), and looks dead until it goes on. */
  | 'stop'
  /** Redis gave entries out, but the answer is lost with the connection. */
  | 'read-reply-lost'
  /** Elasticsearch refuses an item for now (429). */
  | 'refused'
  /** There is no answer to a bulk request in time; what was not done yet may still be done later. */
  | 'answer-lost'
  /** A write never reaches Elasticsearch. */
  | 'request-lost'
  | 'counter-lost'
  | 'targets-lost'
  | 'clock-back'
  | 'copier-crash'

/** The rules of the protocol; each value but the first breaks a promise, in some scenario. */
export interface Rules {
  readonly delayMessages: 'before-commit' | 'none'
  readonly versions: 'ticket-before-read' | 'ticket-after-read' | 'none'
  /** `clock`: never behind Redis' clock; `counter`: only one more than the last. */
  readonly tickets: 'clock' | 'counter'
  readonly targets: 'with-ticket' | 'before-ticket' | 'at-sending' | 'never'
  readonly conflicts: 'judged' | 'taken-for-success'
  /** What a conflict is judged by is fetched in this order. */
  readonly compare: 'versions-first' | 'ticket-first'
  readonly acknowledge: 'after-answer' | 'before-answer'
  /** Whether a transaction that is old says which one it is before it commits, where somebody asks. */
  readonly named: 'when-old' | 'never'
  /** What the Delayer makes of a named transaction that is in progress. */
  readonly inProgress: 'left' | 'taken-for-aborted'
  /** Which transactions an entry may belong to that names none: those that are open at the first look, or nobody asks. */
  readonly suspects: 'all-that-are-open' | 'none'
  readonly publish: 'one-script' | 'delay-entries-deleted-first'
  /** What happens to delay messages when COMMIT failed: it may have happened all the same. */
  readonly failedCommit: 'delay-messages-stay' | 'delay-messages-deleted'
  /**
   * How `bulk` gets its rows into the lane: it moves its delay entries; when the Delayer has taken some of them too
   * early, it adds messages for all rows.
   */
  readonly bulk: 'moves-or-adds' | 'moves'
  /**
   * Which dead letters an indexed row removes: those of lower tickets, and who has written a letter looks whether the
   * row has changed since it was read; those of lower tickets alone; or any.
   */
  readonly letters: 'by-ticket-and-read-again' | 'by-ticket' | 'any'
  /**
   * What a reindex makes of targets that Redis lost and a Consumer told it anew, without the new index. `marked`: a mark
   * was written together with the new index; the copier looks for it before the swap and after it, and where it is
   * missing it makes another copy, into another index; and a Consumer forgets a target whose index is gone. `unnoticed`:
   * neither.
   */
  readonly lostTargets: 'marked' | 'unnoticed'
  readonly trim: 'all-groups' | 'groups-that-have-read' | 'what-is-read'
  /** `by-clock`: after `gcDeletes`; `when-safe`: when nobody holds a lower ticket, whatever the time; `any-time`. */
  readonly tombstones: 'by-clock' | 'kept' | 'when-safe' | 'any-time'
}

/** The rules as the code has them. */
export const trueRules: Rules = {
  delayMessages: 'before-commit',
  versions: 'ticket-before-read',
  tickets: 'clock',
  targets: 'with-ticket',
  conflicts: 'judged',
  compare: 'versions-first',
  acknowledge: 'after-answer',
  named: 'when-old',
  inProgress: 'left',
  suspects: 'all-that-are-open',
  publish: 'one-script',
  failedCommit: 'delay-messages-stay',
  bulk: 'moves-or-adds',
  letters: 'by-ticket-and-read-again',
  lostTargets: 'marked',
  trim: 'all-groups',
  tombstones: 'by-clock',
}

export const defaultTimes: Times = {
  delay: 20,
  delayIsLongEnough: true,
  publishIsInTime: false,
  takeOverAfter: 5,
  ticketMaxAge: 40,
  gcDeletes: 80,
}

/** A transaction that is younger commits without naming itself. */
export const youngMs = 10

/** One step of the clock: half a delay, so that the order of two delay messages matters. */
export const tickMs = 10

export function usesBulkLane(scenario: Scenario): boolean {
  return scenario.applications.flat().some(({ by }) => by === 'bulk')
}
