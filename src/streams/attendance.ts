import type { Logger } from '../runtime/logger.ts'
import { redisNowMs } from './clock.ts'
import { lanes, ownGroups, type Lane, type Partition } from './keys.ts'
import { oldestNeeded } from './lane-progress.ts'
import { readShortestIdleMs, type Group } from './replies.ts'
import { runScript, type RedisClient } from './scripts.ts'
import { smallerStreamId, streamIdMs, type StreamId } from './stream-id.ts'

/** The groups of both lanes of a partition. */
export type LaneGroups = Readonly<Record<Lane, readonly Group[]>>

/** When a group of the user's was last served, and since when something waits for it. */
export interface GroupAttendance {
  readonly name: string
  /** Milliseconds since somebody was last seen to serve it; undefined: nobody has looked yet. */
  readonly unservedMs: number | undefined
  /** The same by what is noted alone, without a look at the members. */
  readonly notedMs: number | undefined
  /** Age in ms of the oldest entry that it is not done with; 0 when there is none. */
  readonly oldestWaitingMs: number
}

const everyMs = 10_000

/**
 * Notes in Redis, every 10 s and at its end, that a consumer group of the user's is served, so that a group that is
 * given up can be told from one that has nothing to do. Its members do not tell that: before 7.2, Redis notes nothing
 * of a member that reads and gets nothing, and one whose batches all wait does not even read.
 */
export class Attendance {
  readonly #redis: RedisClient
  readonly #partition: Partition
  readonly #group: string
  readonly #logger: Logger
  #timer: NodeJS.Timeout | undefined

  constructor(redis: RedisClient, partition: Partition, group: string, logger: Logger) {
    this.#redis = redis
    this.#partition = partition
    this.#group = group
    this.#logger = logger
  }

  /** Never rejects: what fails is tried again. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => void this.#note(), everyMs)
    await this.#note()
  }

  /** The group is not served from now on. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#note()
  }

  async #note(): Promise<void> {
    const group = this.#group
    await noteServed(this.#redis, this.#partition, group, 0).catch((error: unknown) =>
      this.#logger.debug({ err: error, group }, 'that a group is served could not be noted; trying again'),
    )
  }
}

/** Notes that a group was served so many ms ago; a later note is kept. */
export async function noteServed(
  redis: RedisClient,
  { keys }: Partition,
  group: string,
  agoMs: number,
): Promise<void> {
  await runScript(redis, 'serve', [keys.groups], [group, Math.round(agoMs)])
}

/** When each group of the user's was last served: by what is noted, and by when its members last read. */
export async function readAttendance(
  redis: RedisClient,
  { keys }: Partition,
  groups: LaneGroups,
): Promise<GroupAttendance[]> {
  const names = new Set(lanes.flatMap((lane) => groups[lane].map(({ name }) => name)))
  const foreign = [...names].filter((name) => !ownGroups.includes(name))
  if (foreign.length === 0) return []
  const [notes, now] = await Promise.all([redis.hgetall(keys.groups), redisNowMs(redis, keys.groups)])
  return Promise.all(
    foreign.map(async (name) => {
      const inLanes = lanes.flatMap((lane) => {
        const group = groups[lane].find((one) => one.name === name)
        return group === undefined ? [] : [{ key: keys[lane], group }]
      })
      const idle = await Promise.all(inLanes.map(({ key }) => readShortestIdleMs(redis, key, name)))
      const waiting = await Promise.all(inLanes.map(({ key, group }) => oldestNeeded(redis, key, group)))
      const noted = notes[name]
      const notedMs = noted === undefined ? undefined : Math.max(0, now - Number(noted))
      return {
        name,
        unservedMs: smallest([notedMs, ...idle]),
        notedMs,
        oldestWaitingMs: ageMs(
          waiting.reduce((a, b) => (a && b ? smallerStreamId(a, b) : (a ?? b))),
          now,
        ),
      }
    }),
  )
}

/** Age of an entry by Redis' clock; 0 when there is none. */
export function ageMs(id: StreamId | undefined, nowMs: number): number {
  return id === undefined ? 0 : Math.max(0, Math.round(nowMs - streamIdMs(id)))
}

function smallest(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined)
  return known.length === 0 ? undefined : Math.min(...known)
}
