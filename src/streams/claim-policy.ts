import type { PendingEntry } from './replies.ts'

export interface ClaimView {
  /** This member's name. */
  readonly me: string
  /** Ids of entries that this member is working on. */
  readonly inFlight: ReadonlySet<string>
  /** Members whose heartbeat was seen within `takeOverAfterMs`. */
  readonly alive: ReadonlySet<string>
  readonly takeOverAfterMs: number
}

/**
 * Whether a pending entry may be taken. Those of a dead member: at once. Our own that we do not work on: their reply
 * was lost with the connection, or we gave up on them; only after some time, because a reply may be under way. Those
 * of a living member never, however long it takes. A false alarm is harmless: tickets decide who is right.
 */
export function mayClaim(entry: PendingEntry, view: ClaimView): boolean {
  if (entry.consumer === view.me) return !view.inFlight.has(entry.id) && entry.idleMs >= view.takeOverAfterMs
  return !view.alive.has(entry.consumer)
}

/**
 * Whose pending entries are worth reading: dead members, and ourselves when we hold more than we work on. The entries
 * of living members may be many, and every member looks about once a second.
 *
 * @param members - names of the group's members and how many entries each holds
 */
export function membersToSearch(members: ReadonlyMap<string, number>, view: ClaimView): string[] {
  return [...members]
    .filter(([name, pending]) =>
      name === view.me ? pending > view.inFlight.size : pending > 0 && !view.alive.has(name),
    )
    .map(([name]) => name)
}

/** From so many deliveries on, an entry is tried alone. */
const aloneAfter = 4

/** Each delivery of an entry that did not end well divides the size of the next batch with it by this. */
const shrinkBy = 8

/** Entries to take over together. */
export interface Claim {
  readonly entries: readonly PendingEntry[]
  /** How often they were delivered, with this time. */
  readonly deliveries: number
  /** To be worked on without any other batch in flight in this process. */
  readonly alone: boolean
}

/**
 * Which of the entries that may be taken are taken next; undefined when there are none.
 *
 * An entry that ended its consumer's process (out of memory, a crash in native code) is delivered again and again, and
 * takes its neighbours down with it. The delivery count tells: a first death is as a rule not its fault, so a whole
 * batch is taken; then the batches shrink, until the entry is alone. Those with the fewest deliveries come first, so
 * that the innocent get through while the process lives.
 */
export function nextClaim(entries: readonly PendingEntry[], batchSize: number): Claim | undefined {
  if (entries.length === 0) return undefined
  const fewest = Math.min(...entries.map(({ deliveries }) => deliveries))
  const alone = fewest >= aloneAfter
  const size = alone ? 1 : Math.max(1, Math.floor(batchSize / shrinkBy ** Math.max(0, fewest - 1)))
  return {
    entries: entries.filter(({ deliveries }) => deliveries === fewest).slice(0, size),
    deliveries: fewest + 1,
    alone,
  }
}

/**
 * Which lane to read first: main, except that the bulk lane gets every eighth turn, so that an endless stream of
 * single changes does not starve it.
 */
export function laneOfTurn(turn: number): 'main' | 'bulk' {
  return turn % 8 === 7 ? 'bulk' : 'main'
}

/**
 * When the main lane had nothing for so long, in ms, batches of the bulk lane are full ones. Somebody who then changes
 * a single row waits for processor and Elasticsearch behind them once; while changes come more often, they are small.
 */
const quietMs = 5_000

/** Whether the main lane had nothing for so long that batches of the bulk lane need not be small. */
export function isQuiet(sinceMainMs: number): boolean {
  return sinceMainMs >= quietMs
}

/**
 * Whether a consumer may read the bulk lane. It keeps one place for the main lane, if it has several: with large
 * batches of the bulk lane in all of them, a single change would wait until one is done.
 *
 * @param bulk - batches of the bulk lane in flight
 * @param places - batches that may be in flight
 */
export function mayReadBulk(bulk: number, places: number): boolean {
  return bulk < Math.max(1, places - 1)
}

/**
 * Measured with `bench/cascade.ts`: a quarter of the wait of a single change. They cost a quarter of the documents per
 * second and more (`bench/PROFILE.md`), so only who may be waited for pays for it.
 */
const largestBulkBatch = 250

/**
 * How many entries to read at once. Batches of the bulk lane are smaller unless the main lane is quiet, because a
 * single change waits for processor and Elasticsearch behind those in flight.
 */
export function entriesPerRead(
  from: readonly ('main' | 'bulk')[],
  batchSize: number,
  quiet: boolean,
): number {
  return from.includes('bulk') && !quiet ? Math.min(batchSize, largestBulkBatch) : batchSize
}
