import type { RowKey } from '../capture/row-key.ts'
import { cascadeGroup } from '../cascade/streams.ts'
import type { OutboxQueue } from '../outbox/queue.ts'
import { pause } from '../runtime/backoff.ts'
import { lanes, type Partition } from '../streams/keys.ts'
import { decodeMessages } from '../streams/message.ts'
import { parseEntries, readGroups, type Group } from '../streams/replies.ts'
import type { RedisClient } from '../streams/scripts.ts'
import { compareStreamIds, smallerStreamId, type StreamId } from '../streams/stream-id.ts'
import { indexGroup } from '../sync/indexer.ts'
import type { IndexSite } from '../sync/site.ts'

/** Where a group is in a lane. */
export type GroupPosition = Pick<Group, 'lastDelivered' | 'oldestPending'>

/**
 * How far a group is on its way past an entry, as a text that changes when it gets on; undefined when it is done with
 * everything up to and including the entry.
 */
export function stateBefore(position: GroupPosition | undefined, entry: StreamId): string | undefined {
  if (position === undefined) return 'no group'
  const { lastDelivered, oldestPending } = position
  const isRead = compareStreamIds(lastDelivered, entry) >= 0
  if (isRead && (oldestPending === undefined || compareStreamIds(oldestPending, entry) > 0)) return undefined
  // What is read beyond the entry is no progress for those who wait for it.
  return `${smallerStreamId(lastDelivered, entry)} ${oldestPending ?? ''}`
}

/** How to wait for a queue. */
export interface Patience {
  /** How long it may stand still, in ms. */
  readonly patienceMs: number
  readonly signal: AbortSignal
}

/**
 * Between a commit and its message there is no trace in Redis when the write was outside a transaction. Its publish
 * comes right after it.
 */
export const publishMs = 1_000
const pollMs = 100
const pageSize = 1_000

/** What a queue came to that was waited for. */
export interface Waiting {
  /** Keys of the rows that messages still wait for. */
  readonly keys: ReadonlySet<RowKey>
  /**
   * The queue stood still for too long: there are no workers, or a delay message is that of a dead process and not due
   * yet. False: it has passed everything.
   */
  readonly standsStill: boolean
}

/** The streams of an index, those whose changes lead to its documents, and what changes pass before they come there. */
export type Queue = Pick<IndexSite, 'redis' | 'partitions' | 'cascades' | 'outbox'>

/**
 * Waits until every change of some rows that was committed before the call has been through the group "index": first
 * until the delay messages that name these rows are gone (published, moved or taken back), then until the group has
 * passed what is in the lanes after that. Changes that are committed later do not hold it up.
 *
 * Changes of what documents embed come first, for the group "cascade" writes messages of the rows. They name other
 * rows, so nobody knows whether they lead to these: all of them are waited for. So it is for what is in the outbox.
 *
 * @param keys - keys of the rows
 */
export async function waitingAfter(
  { redis, partitions, cascades, outbox }: Queue,
  keys: ReadonlySet<RowKey>,
  patience: Patience,
): Promise<Waiting> {
  await pause(publishMs, patience.signal)
  if (outbox !== undefined && !(await isRelayed(outbox, patience))) return { keys, standsStill: true }
  if (!(await delaysEnd(redis, cascades, patience))) return { keys, standsStill: true }
  if ((await notPassed(redis, cascades, cascadeGroup, patience)).length > 0)
    return { keys, standsStill: true }
  let delayed = await delayedNow(redis, partitions, keys)
  await moving(patience, async () => {
    delayed = await stillThere(redis, delayed)
    return delayed.length === 0 ? undefined : String(delayed.length)
  })
  const waiting = new Set(delayed.flatMap((entry) => entry.ids))
  const open = await notPassed(redis, partitions, indexGroup, patience)
  for (const { key, id } of open) {
    const position = await positionOf(redis, key, indexGroup)
    const start = position?.oldestPending ?? (position === undefined ? '-' : `(${position.lastDelivered}`)
    for await (const named of namedBetween(redis, key, start, id, keys))
      for (const each of named.ids) waiting.add(each)
  }
  return { keys: waiting, standsStill: delayed.length > 0 || open.length > 0 }
}

/** The streams in which changes of what documents embed wait at this moment. */
export async function waitingCascades({ redis, cascades }: Queue): Promise<string[]> {
  const waiting = await Promise.all(
    cascades.map(async (partition) => {
      const isDelayed = (await redis.xlen(partition.keys.delay)) > 0
      const entries = await newestNow(redis, [partition])
      return isDelayed || (await ahead(redis, cascadeGroup, entries)).length > 0 ? [partition.stream] : []
    }),
  )
  return [...new Set(waiting.flat())]
}

/** Waits until relays have published what is in the outbox now; false when it stays. */
async function isRelayed(outbox: OutboxQueue, patience: Patience): Promise<boolean> {
  const newest = await outbox.newest()
  let oldest = newest
  if (newest === undefined) return true
  await moving(patience, async () => (oldest = await outbox.oldestUpTo(newest)))
  return oldest === undefined
}

/** Waits until the delay messages of now are gone; false when they stay. */
async function delaysEnd(
  redis: RedisClient,
  partitions: readonly Partition[],
  patience: Patience,
): Promise<boolean> {
  const newest = await Promise.all(partitions.map(({ keys }) => newestEntry(redis, keys.delay)))
  let open = newest.flat()
  await moving(patience, async () => {
    const oldest = await Promise.all(
      open.map(async ({ key, id }) => parseEntries(await redis.xrange(key, '-', id, 'COUNT', 1))),
    )
    open = open.filter((_, i) => oldest[i]!.length > 0)
    return open.length === 0 ? undefined : JSON.stringify(oldest.map(([entry]) => entry?.id))
  })
  return open.length === 0
}

/** Waits until a group has passed what is in the lanes now; returns the entries that it has not passed. */
async function notPassed(
  redis: RedisClient,
  partitions: readonly Partition[],
  group: string,
  patience: Patience,
): Promise<EntryAt[]> {
  let open: EntryAt[] = await newestNow(redis, partitions)
  await moving(patience, async () => {
    const states = await ahead(redis, group, open)
    open = states.map(({ entry }) => entry)
    return open.length === 0 ? undefined : JSON.stringify(states)
  })
  return open
}

/** The entries that a group has not passed, with how far it is. */
async function ahead(
  redis: RedisClient,
  group: string,
  entries: readonly EntryAt[],
): Promise<{ entry: EntryAt; state: string }[]> {
  const states = await Promise.all(
    entries.map(async (entry) => {
      const state = stateBefore(await positionOf(redis, entry.key, group), entry.id)
      return state === undefined ? [] : [{ entry, state }]
    }),
  )
  return states.flat()
}

async function positionOf(
  redis: RedisClient,
  key: string,
  group: string,
): Promise<GroupPosition | undefined> {
  return (await readGroups(redis, key)).find(({ name }) => name === group)
}

/** Calls `look` until it gives undefined, or the same for too long, or the signal aborts. */
async function moving(
  { patienceMs, signal }: Patience,
  look: () => Promise<string | undefined>,
): Promise<void> {
  let last: string | undefined
  let since = performance.now()
  while (!signal.aborted) {
    const now = await look()
    if (now === undefined) return
    if (now !== last) since = performance.now()
    else if (performance.now() - since > patienceMs) return
    last = now
    await pause(pollMs, signal)
  }
}

interface EntryAt {
  readonly key: string
  readonly id: StreamId
}

/** The newest entry of each lane that holds any. */
async function newestNow(redis: RedisClient, partitions: readonly Partition[]): Promise<EntryAt[]> {
  const keys = partitions.flatMap((partition) => lanes.map((lane) => partition.keys[lane]))
  return (await Promise.all(keys.map((key) => newestEntry(redis, key)))).flat()
}

/** The newest entry of a stream; empty when it has none. */
async function newestEntry(redis: RedisClient, key: string): Promise<EntryAt[]> {
  const newest = parseEntries(await redis.xrevrange(key, '+', '-', 'COUNT', 1))
  return newest.map(({ id }) => ({ key, id }))
}

interface NamingEntry extends EntryAt {
  /** Which of the rows it names. */
  readonly ids: readonly string[]
}

/** The delay entries that name some of the rows. */
export async function delayedNow(
  redis: RedisClient,
  partitions: readonly Partition[],
  ids: ReadonlySet<string>,
): Promise<NamingEntry[]> {
  const found: NamingEntry[] = []
  for (const { keys } of partitions) {
    for (const { key, id } of await newestEntry(redis, keys.delay))
      for await (const entry of namedBetween(redis, key, '-', id, ids)) found.push(entry)
  }
  return found
}

/** The entries of a range that name some of the rows. */
async function* namedBetween(
  redis: RedisClient,
  key: string,
  from: string,
  to: StreamId,
  ids: ReadonlySet<string>,
): AsyncGenerator<NamingEntry> {
  for (let start = from; ;) {
    const page = parseEntries(await redis.xrange(key, start, to, 'COUNT', pageSize))
    for (const { id, fields } of page) {
      const named = decodeMessages(fields).flatMap((message) => (ids.has(message.id) ? [message.id] : []))
      if (named.length > 0) yield { key, id, ids: named }
    }
    const last = page.at(-1)
    if (last === undefined || page.length < pageSize) return
    start = `(${last.id}`
  }
}

async function stillThere(redis: RedisClient, entries: readonly NamingEntry[]): Promise<NamingEntry[]> {
  const found = await Promise.all(
    entries.map(async (entry) =>
      (await redis.xrange(entry.key, entry.id, entry.id)).length > 0 ? [entry] : [],
    ),
  )
  return found.flat()
}
