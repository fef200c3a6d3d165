import type { Lane } from '../../src/streams/keys.ts'
import { encodeMessage, type Message } from '../../src/streams/message.ts'
import type { StreamId } from '../../src/streams/stream-id.ts'
import type { TransactionText } from '../../src/streams/transaction.ts'
import { groupOf, idMs, nowMs, xadd, xdel, type FakeEntry, type FakeRedis } from './fake-redis.ts'

/** What the Lua scripts of `src/streams/scripts` do, each in one step on the fake Redis. */

/** publish.lua: adds messages to a lane, then deletes the delay entries that stood for them. */
export function publish(
  redis: FakeRedis,
  lane: Lane,
  messages: readonly Message[],
  delayed: readonly StreamId[],
): number {
  for (const message of messages) xadd(redis, lane, encodeMessage(message))
  xdel(redis, 'delay', delayed)
  return messages.length
}

/** requeue.lua, `due`: moves delay entries of this age to a lane until `limit` messages are moved. */
export function requeueDue(
  redis: FakeRedis,
  lane: Lane,
  ageMs: number,
  limit: number,
  which: 'all' | 'unnamed' = 'all',
): [messages: number, entries: number] {
  let messages = 0
  let moved = 0
  for (const entry of dueEntries(redis, ageMs, which)) {
    if (messages >= limit) break
    messages += move(redis, lane, entry)
    moved++
  }
  return [messages, moved]
}

/** requeue.lua, `ids`: moves the named delay entries that still exist, however young. */
export function requeueIds(
  redis: FakeRedis,
  lane: Lane,
  ids: readonly StreamId[],
): [messages: number, entries: number] {
  let messages = 0
  let moved = 0
  for (const id of ids) {
    const entry = redis.streams.delay?.entries.find((one) => one.id === id)
    if (entry === undefined) continue
    messages += move(redis, lane, entry)
    moved++
  }
  return [messages, moved]
}

export function dueEntries(redis: FakeRedis, ageMs: number, which: 'all' | 'unnamed'): FakeEntry[] {
  const newest = nowMs(redis) - ageMs
  const due = redis.streams.delay?.entries.filter(({ id }) => idMs(id) <= newest) ?? []
  return which === 'all' ? due : due.filter(({ fields }) => transactionOf(fields) === undefined)
}

/** ticket.lua: a version above the last one, the clock and `above`, with the targets of this moment. */
export function takeTicket(redis: FakeRedis, above = 0): { version: number; targets: string[] } {
  const version = Math.max((redis.ticket ?? 0) + 1, redis.micros, above + 1)
  redis.ticket = version
  return { version, targets: [...redis.targets] }
}

/** settle.lua: acknowledges entries, whoever holds them, and removes the older dead letters of rows that are indexed. */
export function settle(
  redis: FakeRedis,
  lane: Lane,
  groupName: string,
  ids: readonly StreamId[],
  resolved: readonly string[],
  version: number,
): number {
  const group = redis.streams[lane]?.groups[groupName]
  const before = group?.pending.length ?? 0
  if (group !== undefined) group.pending = group.pending.filter(({ id }) => !ids.includes(id))
  for (const row of resolved) if ((redis.letters[row]?.ticket ?? 0) < version) delete redis.letters[row]
  return before - (group?.pending.length ?? 0)
}

/** bury.lua: writes a dead letter or counts its attempts up; 0 when a new one finds no room. */
export function bury(redis: FakeRedis, row: string, ticket: number, type: string, most: number): number {
  const known = redis.letters[row]
  if (known !== undefined && known.ticket >= ticket) return known.attempts
  if (known === undefined && Object.keys(redis.letters).length >= most) return 0
  const attempts = (known?.attempts ?? 0) + 1
  redis.letters[row] = { ticket, type, attempts }
  return attempts
}

/** leave.lua: removes a consumer from its group unless it holds entries. */
export function leave(redis: FakeRedis, lane: Lane, groupName: string, consumer: string): 0 | 1 {
  const group = groupOf(redis, lane, groupName)
  if (group.pending.some((one) => one.consumer === consumer)) return 0
  group.consumers = group.consumers.filter((name) => name !== consumer)
  return 1
}

/** The transaction that a delay entry names. */
export function transactionOf([name, value]: readonly string[]): TransactionText | undefined {
  return name === 'transaction' ? (value as TransactionText) : undefined
}

/** One entry per message. What stands before the first `id` belongs to the first message, as in the script. */
function move(redis: FakeRedis, lane: Lane, { id, fields }: FakeEntry): number {
  let messages = 0
  let first = transactionOf(fields) === undefined ? 0 : 2
  for (let i = first + 2; i <= fields.length; i += 2) {
    if (i < fields.length && fields[i] !== 'id') continue
    xadd(redis, lane, fields.slice(first, i))
    messages++
    first = i
  }
  xdel(redis, 'delay', [id])
  return messages
}
