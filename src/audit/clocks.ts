import { Cluster } from 'ioredis'

import { redisNowMs } from '../streams/clock.ts'
import type { Partition } from '../streams/keys.ts'
import type { RedisClient } from '../streams/scripts.ts'
import { streamIdMs, type StreamId } from '../streams/stream-id.ts'

/** Readings of two clocks one after the other: Redis', the database's, and Redis' again, in ms. */
export interface Reading {
  readonly before: number
  readonly database: number
  readonly after: number
}

/** How far Redis' clock is ahead of the database's: between `least` and `most`, in ms. */
export interface Offset {
  readonly least: number
  readonly most: number
}

/** The offset by the reading that took the shortest time: the others say no more than it was about there. */
export function offsetOf(readings: readonly Reading[]): Offset {
  const shortest = readings.reduce((a, b) => (b.after - b.before < a.after - a.before ? b : a))
  return { least: shortest.before - shortest.database, most: shortest.after - shortest.database }
}

/**
 * While clocks are being corrected, they may run off each other by so much between two measurements: 500 ppm at most,
 * see adjtimex(2).
 */
const driftMs = 5
export const measureEveryMs = 10_000

/** The latest moment at which Redis may have made an id, in ms of the database's clock. */
export function latestMsOf(id: StreamId, { least }: Offset): number {
  // Redis cuts the fraction of the millisecond off.
  return streamIdMs(id) + 1 - least + driftMs
}

/** In how many ms two moments of the two clocks cannot be told apart. */
export function resolutionOf(offsets: Iterable<Offset>): number {
  return Math.max(0, ...[...offsets].map(({ least, most }) => most - least)) + 1 + driftMs
}

const readings = 5

/**
 * How far the clocks of Redis are ahead of that of the database, by partition: the nodes of a Cluster have one each.
 *
 * @param databaseNowMs - tells the database's clock
 */
export async function measureOffsets(
  redis: RedisClient,
  partitions: readonly Partition[],
  databaseNowMs: () => Promise<number>,
): Promise<Map<Partition, Offset>> {
  const measure = async ({ keys }: Partition): Promise<Offset> => {
    const read: Reading[] = []
    for (let i = 0; i < readings; i++) {
      const before = await redisNowMs(redis, keys.main)
      const database = await databaseNowMs()
      read.push({ before, database, after: await redisNowMs(redis, keys.main) })
    }
    return offsetOf(read)
  }
  const offsets = new Map<Partition, Offset>()
  let known: Offset | undefined
  for (const partition of partitions) {
    if (known === undefined || redis instanceof Cluster) known = await measure(partition)
    offsets.set(partition, known)
  }
  return offsets
}
