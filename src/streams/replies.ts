import { z } from 'zod'

import type { GroupProgress } from './trim-point.ts'
import { replyCode } from './redis-error.ts'
import type { RedisClient } from './scripts.ts'
import { parseStreamId, type StreamId } from './stream-id.ts'

/**
 * The replies of Redis' stream commands as typed values, validated here and nowhere else. ioredis speaks RESP2:
 * maps arrive as flat lists.
 */

export interface Entry {
  readonly id: StreamId
  readonly fields: string[]
}

export interface PendingEntry {
  readonly id: StreamId
  readonly consumer: string
  /** Milliseconds since it was last given out. */
  readonly idleMs: number
  /** How often it was given out. */
  readonly deliveries: number
}

export interface Group extends GroupProgress {
  readonly pending: number
  /** Entries not delivered yet; undefined where the server cannot tell (before Redis 7, or after deletions). */
  readonly lag: number | undefined
}

const streamId = z.string().transform((text, context): StreamId => {
  try {
    return parseStreamId(text)
  } catch {
    context.addIssue({ code: 'custom', message: 'not a stream id' })
    return z.NEVER
  }
})
const readReply = z.union([z.null(), z.array(z.tuple([z.string(), z.unknown()]))])
const pendingReply = z.array(
  z
    .tuple([streamId, z.string(), z.number(), z.number()])
    .transform(([id, consumer, idleMs, deliveries]): PendingEntry => ({ id, consumer, idleMs, deliveries })),
)
const pendingSummary = z.tuple([z.number(), z.union([streamId, z.null()]), z.unknown(), z.unknown()])
const groupInfo = z.object({
  name: z.string(),
  pending: z.number(),
  'last-delivered-id': streamId,
  lag: z.union([z.number(), z.null()]).optional(),
})

const memberInfo = z.object({ name: z.string(), pending: z.number(), idle: z.number() })

/** What XREADGROUP gave, per stream key. */
export function parseRead(reply: unknown): Map<string, Entry[]> {
  return new Map((readReply.parse(reply) ?? []).map(([key, entries]) => [key, parseEntries(entries)]))
}

/** The entries of a reply. Checked by hand: they are what a consumer reads most of. */
export function parseEntries(reply: unknown): Entry[] {
  if (!Array.isArray(reply)) throw notEntries(reply)
  const entries: Entry[] = []
  for (const one of reply as unknown[]) {
    // XCLAIM before Redis 7 answers nil for entries that were deleted while they were pending.
    if (one === null) continue
    const [id, fields] = Array.isArray(one) ? (one as unknown[]) : []
    if (typeof id !== 'string' || !isTexts(fields)) throw notEntries(one)
    entries.push({ id: parseStreamId(id), fields })
  }
  return entries
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string')
}

function notEntries(reply: unknown): TypeError {
  return new TypeError(`not entries of a stream: ${JSON.stringify(reply)?.slice(0, 200)}`)
}

/** Pending entries of a group's member after `after`, oldest first. */
export async function readPending(
  redis: RedisClient,
  lane: string,
  group: string,
  member: string,
  after: StreamId | undefined,
  count: number,
): Promise<PendingEntry[]> {
  const start = after === undefined ? '-' : `(${after}`
  return pendingReply.parse(await redis.xpending(lane, group, start, '+', count, member))
}

/** Who of a group holds an entry; undefined when nobody does. */
export async function readHolder(
  redis: RedisClient,
  lane: string,
  group: string,
  entry: StreamId,
): Promise<PendingEntry | undefined> {
  return pendingReply.parse(await redis.xpending(lane, group, entry, entry, 1))[0]
}

/** Every group of a stream; empty when the stream does not exist. */
export async function readGroups(redis: RedisClient, lane: string): Promise<Group[]> {
  const reply = await unlessMissing(redis, lane, redis.xinfo('GROUPS', lane))
  const infos = z
    .array(z.array(z.unknown()))
    .parse(reply)
    .map((flat) => groupInfo.parse(fromPairs(flat)))
  return Promise.all(
    infos.map(async (info): Promise<Group> => {
      const oldest =
        info.pending === 0 ? null : pendingSummary.parse(await redis.xpending(lane, info.name))[1]
      return {
        name: info.name,
        pending: info.pending,
        lastDelivered: info['last-delivered-id'],
        oldestPending: oldest ?? undefined,
        lag: info.lag ?? undefined,
      }
    }),
  )
}

/** Names of a group's members and how many entries each holds; none when the stream or the group does not exist. */
export async function readMembers(
  redis: RedisClient,
  lane: string,
  group: string,
): Promise<Map<string, number>> {
  const members = await readMemberInfos(redis, lane, group)
  return new Map(members.map(({ name, pending }) => [name, pending]))
}

/**
 * Milliseconds since some member of a group last read, claimed or acknowledged something; undefined when there is no
 * member. Before Redis 7.2 a read that got nothing does not count.
 */
export async function readShortestIdleMs(
  redis: RedisClient,
  lane: string,
  group: string,
): Promise<number | undefined> {
  const members = await readMemberInfos(redis, lane, group)
  return members.length === 0 ? undefined : Math.min(...members.map(({ idle }) => idle))
}

async function readMemberInfos(
  redis: RedisClient,
  lane: string,
  group: string,
): Promise<z.infer<typeof memberInfo>[]> {
  const info = await unlessMissing(redis, lane, redis.xinfo('CONSUMERS', lane, group))
  return z
    .array(z.array(z.unknown()))
    .parse(info)
    .map((flat) => memberInfo.parse(fromPairs(flat)))
}

/**
 * The reply of XINFO; an empty list when there is no such stream, because nothing was ever written and no group made, or
 * when the group has been given up a moment ago.
 */
async function unlessMissing(redis: RedisClient, lane: string, reply: Promise<unknown>): Promise<unknown> {
  try {
    return await reply
  } catch (error) {
    // The reply is only "ERR no such key".
    if (replyCode(error) === 'ERR' && (await redis.exists(lane)) === 0) return []
    if (replyCode(error) === 'NOGROUP') return []
    throw error
  }
}

function fromPairs(flat: readonly unknown[]): Record<string, unknown> {
  const result: Record<string, unknown> = {}
  for (let i = 0; i + 1 < flat.length; i += 2) result[String(flat[i])] = flat[i + 1]
  return result
}
