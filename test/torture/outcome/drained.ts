import { setTimeout as sleep } from 'node:timers/promises'

import type { Redis } from 'ioredis'

import type { Partition } from '../../../src/streams/keys.ts'
import { readGroups } from '../../../src/streams/replies.ts'

/** What is left in Redis, by key; what is empty is not named. */
export type Left = Record<string, string>

/** The number of processes that serve each consumer group. */
export type Members = Readonly<Record<string, number>>

interface Wait {
  /** What the streams have not been told of yet. */
  readonly leftBefore: () => Promise<Left>
  readonly withinMs: number
  readonly signal: AbortSignal
}

/**
 * Waits until nothing is left in the streams: no delay message, no unread or pending entry, nothing to trim, no dead
 * letter, and no member of a group whose process is gone; nor before them, in the database.
 *
 * @returns what is left all the same after `withinMs`
 */
export async function waitUntilDrained(
  redis: Redis,
  partitions: readonly Partition[],
  members: Members,
  { leftBefore, withinMs, signal }: Wait,
): Promise<Left> {
  const end = performance.now() + withinMs
  for (;;) {
    // First where entries come from: one that is moved in between is seen twice rather than never.
    const left: Left = { ...(await leftBefore()) }
    for (const partition of partitions) await look(redis, partition, members, left)
    if (Object.keys(left).length === 0 || performance.now() > end || signal.aborted) return left
    await sleep(200)
  }
}

async function look(redis: Redis, { keys }: Partition, members: Members, left: Left): Promise<void> {
  for (const key of [keys.delay, keys.main, keys.bulk]) {
    const length = await redis.xlen(key)
    if (length > 0) left[key] = `${length} entries`
  }
  for (const key of [keys.main, keys.bulk]) {
    for (const { name, pending } of await readGroups(redis, key)) {
      if (pending > 0) left[`${key}, pending in ${name}`] = `${pending} entries`
      const found = (await redis.xinfo('CONSUMERS', key, name)) as unknown[]
      const processes = members[name] ?? 0
      if (found.length > processes)
        left[`${key}, members of ${name}`] = `${found.length} for ${processes} processes`
    }
  }
  for (const [id, letter] of Object.entries(await redis.hgetall(keys.deadLetters))) {
    left[`${keys.deadLetters}, ${id}`] = letter
  }
}
