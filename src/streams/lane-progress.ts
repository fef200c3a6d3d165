import { parseEntries, type Group } from './replies.ts'
import type { RedisClient } from './scripts.ts'
import { parseStreamId, type StreamId } from './stream-id.ts'

const pageSize = 10_000

/** Entries of a lane that a group has not read yet. */
export async function countUndelivered(redis: RedisClient, key: string, group: Group): Promise<number> {
  // `lag` stays above 0 in Redis 7.0 when an entry that nobody had read was deleted by hand.
  if ((await firstEntryAfter(redis, key, group.lastDelivered)) === undefined) return 0
  if (group.lag !== undefined) return group.lag
  // Redis cannot tell (XINFO GROUPS: `lag` is null after deletions, and missing before Redis 7): count.
  let after = group.lastDelivered
  let count = 0
  for (;;) {
    const page = parseEntries(await redis.xrange(key, `(${after}`, '+', 'COUNT', pageSize))
    count += page.length
    const last = page.at(-1)
    if (last === undefined || page.length < pageSize) return count
    after = last.id
  }
}

/** The oldest entry after an id, or of all; undefined when there is none. */
export async function firstEntryAfter(
  redis: RedisClient,
  key: string,
  after: StreamId | undefined,
): Promise<StreamId | undefined> {
  const start = after === undefined ? '-' : `(${parseStreamId(after)}`
  return parseEntries(await redis.xrange(key, start, '+', 'COUNT', 1))[0]?.id
}

/** The oldest entry of a lane that a group is not done with, read or not. */
export async function oldestNeeded(
  redis: RedisClient,
  key: string,
  group: Group,
): Promise<StreamId | undefined> {
  return group.oldestPending ?? (await firstEntryAfter(redis, key, group.lastDelivered))
}
