import type { Fate } from '../../src/indexing/fate.ts'
import type { Lane } from '../../src/streams/keys.ts'
import type { Group } from '../../src/streams/replies.ts'
import type { StreamId } from '../../src/streams/stream-id.ts'
import type { TransactionText } from '../../src/streams/transaction.ts'
import { newIndex, type FakeIndex, type Write } from './fake-index.ts'
import { createGroup, newRedis, type FakeEntry, type FakeRedis } from './fake-redis.ts'
import { usesBulkLane, type RowState, type Scenario } from './scenario.ts'

/** Everything that is, as plain data: a step changes it, the exhaustive search copies and compares it. */
export interface World {
  /** Time as it is, in ms; clocks may differ from it. */
  now: number
  faultsLeft: number
  database: Database
  redis: FakeRedis
  /** Physical indices by name; one that was dropped is missing. */
  indices: Record<string, FakeIndex>
  /** The index that applications search. */
  alias: string
  /** Items of bulk requests that Elasticsearch has not done yet; each may come next. */
  network: Item[]
  applications: Application[]
  members: Member[]
  copier: Copier | undefined
  trimmer: Trimmer | undefined
  /** What the Delayer has in mind: for entries that name no transaction, those that it may be. */
  suspects: Record<StreamId, readonly string[]>
  /** Last commit of each row that a group other than "index" was told of. */
  heard: Record<string, number>
  /** How often a conflict was taken for a counter that went backwards. */
  counterAlarms: number
  /** For names that are never used twice. */
  serial: number
}

export interface Database {
  /** Number of commits so far. */
  commits: number
  rows: Record<string, Row>
  /** Transactions that delay messages name, once they have ended. */
  ended: Record<TransactionText, 'committed' | 'aborted'>
}

/** What is committed. Its document is the number of its last commit, unless it is gone. */
export interface Row {
  readonly state: RowState
  readonly commit: number
}

export interface Application {
  name: string
  /** Position in its program. */
  transaction: number
  phase: 'idle' | 'open' | 'unanswered' | 'committed' | 'rolled-back' | 'to-add'
  /** Operations that are announced, and that are executed. */
  begun: number
  executed: number
  /** Rows whose delay message is not written yet. */
  toWrite: string[]
  /** Whether its delay messages say which transaction it is. */
  isNamed: boolean
  /** Delay entries that Redis has. */
  entries: StreamId[]
  /** When the first delay message was written. */
  since: number | undefined
  stopped: boolean
}

/** A member of a consumer group. */
export interface Member {
  /** A new process has a new name. */
  name: string
  group: 'index' | 'watch'
  turn: number
  /** Its heartbeat is missing, though it may live. */
  silent: boolean
  stopped: boolean
  batches: Batch[]
  /** It has seen pending entries that it may take over, and claims them next. */
  claim: { lane: Lane; ids: StreamId[]; idleMs: number } | undefined
}

export interface Batch {
  lane: Lane
  entries: FakeEntry[]
  /** What comes next. */
  phase: Phase
  /** Name of this attempt; answers to earlier ones are not for it. */
  attempt: string
  /** The ticket; 0 before it is taken. */
  version: number
  takenAt: number
  targets: string[]
  rows: Record<string, Row>
  /** Items without an answer. */
  waiting: number
  outcomes: Outcome[]
  /** For conflicts: a ticket that was taken after them, and the stored version of each. */
  fresh: number
  stored: (number | undefined)[] | undefined
  /** A version that the ticket counter must be raised above. */
  highest: number
  retry: string[]
  /** Rows whose dead letter is written. */
  buried: string[]
}

export type Phase =
  | 'targets'
  | 'ticket'
  | 'look-up-targets'
  | 'teach-targets'
  | 'rows'
  | 'send'
  | 'answers'
  | 'fresh'
  | 'stored'
  | 'raise'
  | 'bury'
  | 'look-again'
  | 'settle'

export interface Outcome {
  row: string
  target: string
  isDelete: boolean
  fate: Fate
}

/** One write on its way to Elasticsearch. */
export interface Item extends Write {
  readonly target: string
  /** Who waits for the answer: an attempt of a batch, the copier, or nobody. */
  owner: string
  readonly takenAt: number
}

export interface Copier {
  phase: 'register' | 'ticket' | 'rows' | 'send' | 'answers' | 'unregister' | 'drop' | 'done'
  /** The row that is copied next. */
  page: number
  attempt: string
  version: number
  takenAt: number
  read: Row | undefined
  waiting: number
  /** The index that is to be replaced, and the one that replaces it. */
  from: string
  to: string
  /** Something of this page was not taken: it is copied anew. */
  again: boolean
}

/** A pass of the Trimmer over one lane, between its commands. */
export interface Trimmer {
  lane: Lane
  /** What XINFO GROUPS said. */
  groups: Omit<Group, 'lag'>[] | undefined
  before: StreamId | undefined
}

export const indexGroup = 'index'
export const oldIndex = 'old'

export function startOf(scenario: Scenario): World {
  const redis = newRedis(scenario.rules.tickets === 'clock' ? 1_000_000 : 0)
  redis.ticket = scenario.rules.tickets === 'clock' ? undefined : 10
  redis.targets = [oldIndex]
  const members: Member[] = []
  for (let i = 0; i < scenario.consumers; i++) members.push(newMember(`consumer ${i + 1}`, 'index'))
  for (let i = 0; i < scenario.watchers; i++) members.push(newMember(`watcher ${i + 1}`, 'watch'))
  for (const group of new Set(members.map((member) => member.group))) createGroup(redis, 'main', group)
  if (usesBulkLane(scenario)) for (const { group } of members) createGroup(redis, 'bulk', group)
  const old = newIndex()
  const rows: Record<string, Row> = {}
  for (const row of scenario.rows) {
    rows[row] = Object.freeze({ state: scenario.seeded ? 'plain' : 'gone', commit: 0 })
    if (scenario.seeded) old.documents[row] = Object.freeze({ version: 1, value: 0 })
  }
  return {
    now: 0,
    faultsLeft: scenario.faultBudget,
    database: { commits: 0, rows, ended: {} },
    redis,
    indices: { [oldIndex]: old },
    alias: oldIndex,
    network: [],
    applications: scenario.applications.map((_, i) => newApplication(`application ${i + 1}`)),
    members,
    copier: scenario.reindex ? newCopier() : undefined,
    trimmer: scenario.trimmer ? { lane: 'main', groups: undefined, before: undefined } : undefined,
    suspects: {},
    heard: {},
    counterAlarms: 0,
    serial: 0,
  }
}

function newMember(name: string, group: Member['group']): Member {
  return { name, group, turn: 0, silent: false, stopped: false, batches: [], claim: undefined }
}

function newApplication(name: string): Application {
  return {
    name,
    transaction: 0,
    phase: 'idle',
    begun: 0,
    executed: 0,
    toWrite: [],
    isNamed: false,
    entries: [],
    since: undefined,
    stopped: false,
  }
}

function newCopier(): Copier {
  return {
    phase: 'register',
    page: 0,
    attempt: '',
    version: 0,
    takenAt: 0,
    read: undefined,
    waiting: 0,
    from: oldIndex,
    to: 'new',
    again: false,
  }
}
