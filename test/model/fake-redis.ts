import type { Lane } from '../../src/streams/keys.ts'
import type { Group, PendingEntry } from '../../src/streams/replies.ts'
import type { StreamId } from '../../src/streams/stream-id.ts'

/**
 * The part of Redis that one partition uses, as plain data: three streams with their groups, the ticket counter, the
 * targets, the dead letters. `redis-conformance.test.ts` proves that it means the same as the real one. Every function
 * changes the state that it is given, in one step, as Redis does.
 */

export type StreamName = Lane | 'delay'

export interface FakeEntry {
  readonly id: StreamId
  readonly fields: string[]
}

export interface FakePending {
  id: StreamId
  consumer: string
  /** Redis' clock in ms when it was given out last. */
  deliveredAt: number
  deliveries: number
}

export interface FakeGroup {
  lastDelivered: StreamId
  /** In the order of the ids. */
  pending: FakePending[]
  consumers: string[]
}

export interface FakeStream {
  entries: FakeEntry[]
  /** The highest id ever given out; the next is above it whatever the clock says. */
  lastId: StreamId
  groups: Record<string, FakeGroup>
}

export interface FakeLetter {
  ticket: number
  type: string
  attempts: number
}

export interface FakeRedis {
  /** Redis' clock, in µs. */
  micros: number
  /** A key that was never written does not exist. */
  streams: Partial<Record<StreamName, FakeStream>>
  ticket: number | undefined
  /** Write aliases; a set. */
  targets: string[]
  letters: Record<string, FakeLetter>
}

export function newRedis(micros: number): FakeRedis {
  return { micros, streams: {}, ticket: undefined, targets: [], letters: {} }
}

export function nowMs(redis: FakeRedis): number {
  return Math.floor(redis.micros / 1_000)
}

/** XADD; `*` when no id is given. */
export function xadd(redis: FakeRedis, name: StreamName, fields: readonly string[], id?: StreamId): StreamId {
  const stream = streamOf(redis, name)
  const added = id ?? freshId(stream.lastId, nowMs(redis))
  if (!isAfter(added, stream.lastId)) throw new Error('ERR the ID is equal or smaller')
  stream.entries.push(Object.freeze({ id: added, fields: [...fields] }))
  stream.lastId = added
  return added
}

export function xdel(redis: FakeRedis, name: StreamName, ids: readonly StreamId[]): number {
  const stream = redis.streams[name]
  if (stream === undefined) return 0
  const before = stream.entries.length
  stream.entries = stream.entries.filter(({ id }) => !ids.includes(id))
  return before - stream.entries.length
}

/** XTRIM MINID, exact: Redis does not ask whether a group still needs what is cut. */
export function xtrim(redis: FakeRedis, lane: Lane, before: StreamId): number {
  const stream = redis.streams[lane]
  if (stream === undefined) return 0
  const kept = stream.entries.filter(({ id }) => !isAfter(before, id))
  const trimmed = stream.entries.length - kept.length
  stream.entries = kept
  return trimmed
}

/** XGROUP CREATE … 0 MKSTREAM; false when it exists (BUSYGROUP). */
export function createGroup(redis: FakeRedis, lane: Lane, group: string): boolean {
  const { groups } = streamOf(redis, lane)
  if (groups[group] !== undefined) return false
  groups[group] = { lastDelivered: '0-0', pending: [], consumers: [] }
  return true
}

/** XREADGROUP … `>`: the next entries that no member was given. */
export function xreadgroup(
  redis: FakeRedis,
  lane: Lane,
  groupName: string,
  consumer: string,
  count: number,
): FakeEntry[] {
  const group = groupOf(redis, lane, groupName)
  addConsumer(group, consumer)
  const given = undelivered(redis, lane, groupName).slice(0, count)
  for (const { id } of given) {
    group.pending.push({ id, consumer, deliveredAt: nowMs(redis), deliveries: 1 })
    group.lastDelivered = id
  }
  return given
}

/** Entries that the group has not been given. */
export function undelivered(redis: FakeRedis, lane: Lane, groupName: string): FakeEntry[] {
  const stream = redis.streams[lane]
  const group = stream?.groups[groupName]
  if (stream === undefined || group === undefined) return []
  return stream.entries.filter(({ id }) => isAfter(id, group.lastDelivered))
}

/** XPENDING, all of it, as `readPending` gives it. */
export function pendingOf(redis: FakeRedis, lane: Lane, groupName: string): PendingEntry[] {
  const pending = redis.streams[lane]?.groups[groupName]?.pending ?? []
  return pending.map(({ id, consumer, deliveredAt, deliveries }) => {
    return { id, consumer, idleMs: Math.max(0, nowMs(redis) - deliveredAt), deliveries }
  })
}

/**
 * XCLAIM, and what `GroupMember` does after it: pending entries that were deleted are acknowledged (Redis ≥ 7 does that
 * by itself). An id that is no longer pending, or was given out less than `idleMs` ago, is passed over.
 */
export function xclaim(
  redis: FakeRedis,
  lane: Lane,
  groupName: string,
  consumer: string,
  idleMs: number,
  ids: readonly StreamId[],
): FakeEntry[] {
  const stream = streamOf(redis, lane)
  const group = groupOf(redis, lane, groupName)
  const claimed: FakeEntry[] = []
  for (const id of ids) {
    const pending = group.pending.find((one) => one.id === id)
    const entry = stream.entries.find((one) => one.id === id)
    if (entry === undefined) {
      group.pending = group.pending.filter((one) => one.id !== id)
    } else if (pending !== undefined && (idleMs === 0 || nowMs(redis) - pending.deliveredAt >= idleMs)) {
      addConsumer(group, consumer)
      pending.consumer = consumer
      pending.deliveredAt = nowMs(redis)
      pending.deliveries++
      claimed.push(entry)
    }
  }
  return claimed
}

/** SADD to the targets. */
export function addTargets({ targets }: FakeRedis, added: readonly string[]): void {
  for (const target of added) if (!targets.includes(target)) targets.push(target)
}

/** SREM from the targets. */
export function removeTargets(redis: FakeRedis, removed: readonly string[]): void {
  redis.targets = redis.targets.filter((target) => !removed.includes(target))
}

/** What `readGroups` tells of a lane. */
export function groupsOf(redis: FakeRedis, lane: Lane): Omit<Group, 'lag'>[] {
  const groups = Object.entries(redis.streams[lane]?.groups ?? {})
  return groups.map(([name, { lastDelivered, pending }]) => {
    return { name, lastDelivered, pending: pending.length, oldestPending: pending[0]?.id }
  })
}

export function streamOf(redis: FakeRedis, name: StreamName): FakeStream {
  return (redis.streams[name] ??= { entries: [], lastId: '0-0', groups: {} })
}

export function groupOf(redis: FakeRedis, lane: Lane, name: string): FakeGroup {
  const group = redis.streams[lane]?.groups[name]
  if (group === undefined) throw new Error('NOGROUP')
  return group
}

function addConsumer(group: FakeGroup, name: string): void {
  if (!group.consumers.includes(name)) group.consumers.push(name)
}

/** Faster than `compareStreamIds`: the sequences here are small. */
export function isAfter(a: StreamId, b: StreamId): boolean {
  if (a === b) return false
  const ms = idMs(a) - idMs(b)
  return ms === 0 ? sequence(a) > sequence(b) : ms > 0
}

/** When the id was made, in ms of Redis' clock. */
export function idMs(id: StreamId): number {
  return Number(id.slice(0, id.indexOf('-')))
}

function sequence(id: StreamId): number {
  return Number(id.slice(id.indexOf('-') + 1))
}

/** Ids follow the clock, but never go back: the sequence counts up while the clock is behind the last id. */
function freshId(last: StreamId, ms: number): StreamId {
  return ms > idMs(last) ? `${ms}-0` : `${idMs(last)}-${sequence(last) + 1}`
}
