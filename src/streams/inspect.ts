import { ageMs, readAttendance, type LaneGroups } from './attendance.ts'
import { redisNowMs } from './clock.ts'
import { readHeartbeats } from './heartbeat.ts'
import { lanes, type Lane, type Partition } from './keys.ts'
import { countUndelivered, firstEntryAfter, oldestNeeded } from './lane-progress.ts'
import { parseEntries, readGroups, type Group } from './replies.ts'
import type { RedisClient } from './scripts.ts'
import { smallerStreamId, type StreamId } from './stream-id.ts'
import { isUnserved, sumOverPartitions, type UnservedGroup } from './unserved-group.ts'

export interface LaneStatus {
  /** Entries in the stream. */
  length: number
  /** Entries that the slowest group has not read yet. */
  undelivered: number
  /** Entries that are read and not acknowledged, of all groups. */
  pending: number
  /** Age in ms of the oldest entry that some group is not done with; 0 when there is none. */
  lagMs: number
}

export interface StreamStatus {
  name: string
  main: LaneStatus
  bulk: LaneStatus
  delay: { length: number; oldestMs: number }
  deadLetters: number
  /** Consumer groups of your own that nobody has served for a minute. */
  unservedGroups: UnservedGroup[]
}

export interface WorkerStatus {
  /** `consumer`, `delayer`, `trimmer`, `relay`, or what a newer version calls its workers. */
  kind: string
  host: string
  pid: number
  /** Milliseconds since its last heartbeat. */
  seenMs: number
  /**
   * Milliseconds since its slowest part last got something done, or looked and found nothing to do. A batch that is
   * tried again for ever, or whose handler does not come back, lets it grow.
   */
  progressMs: number
}

/** How far one group is in one lane of one partition. */
export interface GroupInspection {
  name: string
  /** The last entry given to some member (the gem's `max_consumer_id`); `0-0` when it has read nothing. */
  lastDeliveredId: string
  pending: number
  undelivered: number
}

export interface LaneInspection {
  /** Entries in the stream (the gem's `stream_size`). */
  length: number
  /** The newest entry (the gem's `max_stream_id`), or null. */
  lastId: string | null
  groups: GroupInspection[]
}

/** One partition in detail. */
export interface PartitionInspection {
  partition: number
  main: LaneInspection
  bulk: LaneInspection
}

/** Sums over the partitions of a stream; lags are those of the slowest. */
export async function streamStatus(
  redis: RedisClient,
  partitions: readonly Partition[],
): Promise<StreamStatus> {
  const all = await Promise.all(
    partitions.map(async (partition) => {
      const { keys } = partition
      const nowMs = await redisNowMs(redis, keys.main)
      const groups = { main: await readGroups(redis, keys.main), bulk: await readGroups(redis, keys.bulk) }
      return {
        main: await laneStatus(redis, keys.main, groups.main, nowMs),
        bulk: await laneStatus(redis, keys.bulk, groups.bulk, nowMs),
        delay: {
          length: await redis.xlen(keys.delay),
          oldestMs: ageMs(await firstEntryAfter(redis, keys.delay, undefined), nowMs),
        },
        deadLetters: await redis.hlen(keys.deadLetters),
        unservedGroups: await unservedGroups(redis, partition, groups),
      }
    }),
  )
  const lane = (name: Lane): LaneStatus => ({
    length: sum(all.map((one) => one[name].length)),
    undelivered: sum(all.map((one) => one[name].undelivered)),
    pending: sum(all.map((one) => one[name].pending)),
    lagMs: Math.max(...all.map((one) => one[name].lagMs)),
  })
  return {
    name: partitions[0]?.stream ?? '',
    main: lane('main'),
    bulk: lane('bulk'),
    delay: {
      length: sum(all.map((one) => one.delay.length)),
      oldestMs: Math.max(...all.map((one) => one.delay.oldestMs)),
    },
    deadLetters: sum(all.map((one) => one.deadLetters)),
    unservedGroups: sumOverPartitions(all.flatMap((one) => one.unservedGroups)),
  }
}

export async function inspectPartition(
  redis: RedisClient,
  partition: Partition,
): Promise<PartitionInspection> {
  const inspectLane = async (key: string): Promise<LaneInspection> => {
    const newest = parseEntries(await redis.xrevrange(key, '+', '-', 'COUNT', 1))
    const groups = await readGroups(redis, key)
    return {
      length: await redis.xlen(key),
      lastId: newest[0]?.id ?? null,
      groups: await Promise.all(
        groups.map(async (group) => ({
          name: group.name,
          lastDeliveredId: group.lastDelivered,
          pending: group.pending,
          undelivered: await countUndelivered(redis, key, group),
        })),
      ),
    }
  }
  return {
    partition: partition.number,
    main: await inspectLane(partition.keys.main),
    bulk: await inspectLane(partition.keys.bulk),
  }
}

/** True when every group of every lane has read and acknowledged everything; a stream without a group must be empty. */
export async function isDrained(redis: RedisClient, partitions: readonly Partition[]): Promise<boolean> {
  for (const key of partitions.flatMap(({ keys }) => lanes.map((lane) => keys[lane]))) {
    const groups = await readGroups(redis, key)
    if (groups.length === 0 && (await redis.xlen(key)) > 0) return false
    for (const group of groups) {
      if (group.pending > 0) return false
      if ((await firstEntryAfter(redis, key, group.lastDelivered)) !== undefined) return false
    }
  }
  return true
}

/**
 * Workers that were seen in the last minute: one per process and kind, however many streams it serves. The parts of
 * a process beat side by side, so the latest beat is that of the process.
 */
export async function workerStatus(redis: RedisClient, namespace: string): Promise<WorkerStatus[]> {
  const beats = await readHeartbeats(redis, namespace)
  const processes = Map.groupBy(beats, ({ kind, host, pid }) => JSON.stringify([kind, host, pid]))
  return [...processes.values()].map((ofProcess) => {
    const { kind, host, pid } = ofProcess[0]!
    const seenMs = Math.min(...ofProcess.map((beat) => beat.seenMs))
    // A part that ended without a word (its Redis was away) must not look like one that hangs.
    const slowestMs = Math.max(...ofProcess.map((beat) => beat.progressMs - beat.seenMs))
    return { kind, host, pid, seenMs, progressMs: slowestMs + seenMs }
  })
}

async function laneStatus(
  redis: RedisClient,
  key: string,
  groups: readonly Group[],
  nowMs: number,
): Promise<LaneStatus> {
  let oldest: StreamId | undefined
  let mostUndelivered = 0
  for (const group of groups) {
    const needs = await oldestNeeded(redis, key, group)
    if (needs !== undefined) oldest = oldest === undefined ? needs : smallerStreamId(oldest, needs)
    mostUndelivered = Math.max(mostUndelivered, await countUndelivered(redis, key, group))
  }
  const length = await redis.xlen(key)
  if (groups.length === 0) oldest = await firstEntryAfter(redis, key, undefined)
  return {
    length,
    // Without a group nobody has read anything.
    undelivered: groups.length === 0 ? length : mostUndelivered,
    pending: sum(groups.map((group) => group.pending)),
    lagMs: ageMs(oldest, nowMs),
  }
}

/** Age in ms of the oldest entry of a lane that a group is not done with; 0 when there is none. */
export async function groupLagMs(redis: RedisClient, lane: string, group: string): Promise<number> {
  const found = (await readGroups(redis, lane)).find(({ name }) => name === group)
  if (found === undefined) return 0
  return ageMs(await oldestNeeded(redis, lane, found), await redisNowMs(redis, lane))
}

async function unservedGroups(
  redis: RedisClient,
  partition: Partition,
  groups: LaneGroups,
): Promise<UnservedGroup[]> {
  const unserved = (await readAttendance(redis, partition, groups)).filter(isUnserved)
  return Promise.all(
    unserved.map(async ({ name, unservedMs = 0 }) => {
      const waiting = lanes.map(async (lane) => {
        const group = groups[lane].find((one) => one.name === name)
        if (group === undefined) return 0
        return group.pending + (await countUndelivered(redis, partition.keys[lane], group))
      })
      return { group: name, entries: sum(await Promise.all(waiting)), unservedMs: Math.round(unservedMs) }
    }),
  )
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}
