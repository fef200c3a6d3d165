import type { Activity } from '../runtime/progress.ts'
import type { Lane, Partition } from './keys.ts'
import { decodeMessages, mergeMessages, type Message } from './message.ts'
import type { Entry } from './replies.ts'

/** What a consumer group's handler is given: the messages of some entries, each row once. */
export interface Batch {
  readonly stream: string
  readonly group: string
  /** Keys of the changed rows, each once, in the order of their last change. */
  readonly ids: readonly string[]
  /** The latest message of each row, with its payload if it has one. */
  readonly messages: readonly Message[]
  /** The stream's entries that hold them, oldest first; an id begins with the time of its publish, in ms of Redis' clock. */
  readonly entries: readonly Entry[]
  readonly partition: Partition
  readonly lane: Lane
  /** How often its entries were delivered, with this time: more than once when a member died, or lost a reply. */
  readonly deliveries: number
  /**
   * Its only entry was delivered several times and was never finished, so it may be what ended those processes. No
   * other batch is in flight in this process while its handler runs.
   */
  readonly alone: boolean
  /** Aborts when the Consumer was told to stop. */
  readonly signal: AbortSignal
  /** Where a handler that works for long on a batch says that it gets on: `batch.activity.advanced()`. */
  readonly activity: Activity
}

/** What a handler may answer; nothing means that all is done. */
export interface BatchResult {
  /** Keys to try again after a pause, with a new batch object. */
  readonly retry?: readonly string[]
  /** Those of `retry` that were not even begun: whether they end the process is as open as before. */
  readonly untried?: readonly string[]
  /** Rows that are indexed now: their older dead letters are removed together with the acknowledgement. */
  readonly resolved?: readonly Resolution[]
}

/** Rows whose state at a ticket is indexed, or superseded by a later one. */
export interface Resolution {
  /** The ticket: dead letters of later ones stay. */
  readonly version: string
  /** The rows' keys. */
  readonly ids: readonly string[]
}

export type BatchHandler = (batch: Batch) => Promise<BatchResult | void>

/** Drops duplicate rows; the last message of a row wins, see {@link mergeMessages}. */
export function latestMessages(entries: readonly Entry[]): Message[] {
  const latest = new Map<string, Message>()
  for (const entry of entries) {
    for (const message of decodeMessages(entry.fields)) {
      const earlier = latest.get(message.id)
      latest.delete(message.id)
      latest.set(message.id, earlier === undefined ? message : mergeMessages(earlier, message))
    }
  }
  return [...latest.values()]
}

/** The entries of which no row is left to do. */
export function finishedEntries(entries: readonly Entry[], remaining: ReadonlySet<string>): readonly Entry[] {
  if (remaining.size === 0) return entries
  return entries.filter((entry) =>
    decodeMessages(entry.fields).every((message) => !remaining.has(message.id)),
  )
}
