import { RedstreamError } from '../errors.ts'
import type { Logger } from '../runtime/logger.ts'
import { Attendance } from '../streams/attendance.ts'
import { auditGroup, lanes, type Lane, type Partition } from '../streams/keys.ts'
import { decodeMessages } from '../streams/message.ts'
import { replyCode } from '../streams/redis-error.ts'
import { parseEntries, readGroups } from '../streams/replies.ts'
import type { RedisClient } from '../streams/scripts.ts'
import type { StreamId } from '../streams/stream-id.ts'
import { latestMsOf, type Offset } from './clocks.ts'
import type { Wanted } from './matcher.ts'

const entriesPerRead = 1_000

export interface StreamWatchOptions {
  readonly redis: RedisClient
  readonly partitions: readonly Partition[]
  /** How far Redis' clock is ahead of the database's. */
  readonly offsetOf: (partition: Partition) => Offset
  /** Hears of each message, with the latest moment at which it may have been written, by the database's clock. */
  readonly heard: (message: Wanted, writtenMs: number) => void
  readonly logger: Logger
}

/** A lane that is read. */
interface Place {
  readonly partition: Partition
  readonly lane: Lane
  /** The last entry that was read. */
  after: StreamId
}

/**
 * Reads every message of some streams once, from the moment it is opened. A consumer group keeps the Trimmer from
 * removing what was not read yet; it is for nothing else: entries are read by their ids, so that a lost reply loses
 * none, and the group is moved on behind them.
 *
 * Owns, in Redis: the group. When the process dies, the group holds the streams until {@link removeAuditGroups}; until
 * then `redstream status` names it as one that nobody serves.
 */
export class StreamWatch {
  readonly #options: StreamWatchOptions
  readonly #attendances: readonly Attendance[]
  readonly #places: Place[] = []

  constructor(options: StreamWatchOptions) {
    const { redis, partitions, logger } = options
    this.#options = options
    this.#attendances = partitions.map((partition) => new Attendance(redis, partition, auditGroup, logger))
  }

  /** Makes the groups: what is written after it is read. */
  async open(): Promise<void> {
    const { redis, partitions } = this.#options
    for (const partition of partitions) {
      for (const lane of lanes) {
        const key = partition.keys[lane]
        await redis.xgroup('CREATE', key, auditGroup, '$', 'MKSTREAM')
        const group = (await readGroups(redis, key)).find(({ name }) => name === auditGroup)
        if (group !== undefined) this.#places.push({ partition, lane, after: group.lastDelivered })
      }
    }
    await Promise.all(this.#attendances.map((attendance) => attendance.start()))
  }

  /**
   * Reads everything that was written before the call.
   *
   * @throws RedstreamError REDIS when the group is gone; then messages may be gone, too
   */
  async drain(): Promise<void> {
    await Promise.all(this.#places.map((place) => this.#drain(place)))
  }

  /** Removes the groups. */
  async close(): Promise<void> {
    await Promise.all(this.#attendances.map((attendance) => attendance.stop()))
    await removeAuditGroups(this.#options.redis, this.#options.partitions)
  }

  async #drain(place: Place): Promise<void> {
    const { redis, heard, offsetOf } = this.#options
    const { partition, lane } = place
    const { stream, keys } = partition
    for (;;) {
      const entries = parseEntries(
        await redis.xrange(keys[lane], `(${place.after}`, '+', 'COUNT', entriesPerRead),
      )
      for (const { id, fields } of entries) {
        const writtenMs = latestMsOf(id, offsetOf(partition))
        for (const { id: key, derived } of decodeMessages(fields)) {
          // It says that the row is as it was.
          if (derived !== true) heard({ stream, key }, writtenMs)
        }
      }
      const last = entries.at(-1)
      if (last === undefined) return
      place.after = last.id
      await this.#moveOn(place)
      if (entries.length < entriesPerRead) return
    }
  }

  async #moveOn({ partition, lane, after }: Place): Promise<void> {
    const key = partition.keys[lane]
    try {
      await this.#options.redis.xgroup('SETID', key, auditGroup, after)
    } catch (error) {
      if (replyCode(error) !== 'NOGROUP') throw error
      throw new RedstreamError(
        'REDIS',
        `the consumer group "${auditGroup}" of ${key} is gone, so messages may have been removed before they were ` +
          'read: Redis has lost data, or somebody has removed it; run the audit again',
        { cause: error },
      )
    }
  }
}

/** Removes what audits have left in these partitions; returns the lanes that had something. */
export async function removeAuditGroups(
  redis: RedisClient,
  partitions: readonly Partition[],
): Promise<string[]> {
  const removed: string[] = []
  for (const { keys } of partitions) {
    for (const lane of lanes) {
      const hasGroup = (await readGroups(redis, keys[lane])).some(({ name }) => name === auditGroup)
      if (hasGroup && (await redis.xgroup('DESTROY', keys[lane], auditGroup)) === 1) removed.push(keys[lane])
    }
    await redis.hdel(keys.groups, auditGroup)
  }
  return removed
}
