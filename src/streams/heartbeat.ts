import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'

import { z } from 'zod'

import type { Logger } from '../runtime/logger.ts'
import type { WorkerKind } from '../runtime/worker.ts'
import { redisNowMs } from './clock.ts'
import { workersKey } from './keys.ts'
import { runScript, type RedisClient } from './scripts.ts'

const beatSchema = z.object({
  // Not the kinds of this version: while a newer one is rolled out, its workers are alive too.
  kind: z.string(),
  host: z.string(),
  pid: z.number(),
  at: z.number(),
  // Missing in the beats of a version before this one.
  progressAt: z.number().optional(),
})

/** The last sign of life of a worker. */
export interface Beat {
  readonly member: string
  /** A {@link WorkerKind}, or one that only a newer version knows. */
  readonly kind: string
  readonly host: string
  readonly pid: number
  /** Milliseconds since it was seen, by Redis' clock. */
  readonly seenMs: number
  /** Milliseconds since it got something done, or found nothing to do; see `runtime/progress.ts`. */
  readonly progressMs: number
}

const everyMs = 500
const forgetAfterMs = 60_000
// Looking through all workers at every beat would cost Redis the square of their number.
const beatsPerCleaning = 120

/**
 * Says in Redis, every 500 ms, that this worker lives. Members of a group whose heartbeat stays away lose their
 * entries to the others. The time is that of Redis, so clocks of the machines may differ.
 *
 * A timer beats, so that a member whose handler takes long keeps its entries; whether the worker gets on is told
 * besides, as the time of its last progress.
 */
export class Heartbeat {
  /** Unique per worker; the name of the consumer in its groups. */
  readonly member: string
  readonly #redis: RedisClient
  readonly #key: string
  readonly #kind: WorkerKind
  readonly #logger: Logger
  readonly #progressMs: () => number
  #timer: NodeJS.Timeout | undefined
  #beats = 0

  /** @param progressMs - milliseconds since the worker's last progress */
  constructor(
    redis: RedisClient,
    namespace: string,
    kind: WorkerKind,
    logger: Logger,
    progressMs: () => number = () => 0,
  ) {
    this.#redis = redis
    this.#key = workersKey(namespace)
    this.#kind = kind
    this.#logger = logger
    this.#progressMs = progressMs
    this.member = `${hostname()}-${process.pid}-${kind}-${randomBytes(4).toString('hex')}`
  }

  /** Beats once, so that nobody takes this member for dead when it reads its first entries, then regularly. */
  async start(): Promise<void> {
    await this.#beat()
    this.#timer = setInterval(() => {
      this.#beat().catch((error: unknown) =>
        this.#logger.debug({ err: error }, 'heartbeat failed; trying again'),
      )
    }, everyMs)
  }

  /** Stops beating and says that this worker is gone, so that others need not wait for its silence. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#redis.hdel(this.#key, this.member).catch(() => undefined)
  }

  async #beat(): Promise<void> {
    const forgetMs = this.#beats++ % beatsPerCleaning === 0 ? forgetAfterMs : 0
    const progressMs = Math.round(this.#progressMs())
    const beat = [this.member, this.#kind, hostname(), process.pid, forgetMs, progressMs]
    await runScript(this.#redis, 'heartbeat', [this.#key], beat)
  }
}

/** Every worker that was seen in the last minute. */
export async function readHeartbeats(redis: RedisClient, namespace: string): Promise<Beat[]> {
  const key = workersKey(namespace)
  const [all, now] = await Promise.all([redis.hgetall(key), redisNowMs(redis, key)])
  return Object.entries(all)
    .map(([member, json]) => parseBeat(member, json, now))
    .filter(({ seenMs }) => seenMs <= forgetAfterMs)
}

/** Which of some workers were seen less than `withinMs` ago. */
export async function readAlive(
  redis: RedisClient,
  namespace: string,
  members: readonly string[],
  withinMs: number,
): Promise<Set<string>> {
  if (members.length === 0) return new Set()
  const key = workersKey(namespace)
  const [found, now] = await Promise.all([redis.hmget(key, ...members), redisNowMs(redis, key)])
  const beats = found.flatMap((json, index) => (json === null ? [] : [parseBeat(members[index]!, json, now)]))
  return new Set(beats.filter(({ seenMs }) => seenMs < withinMs).map(({ member }) => member))
}

function parseBeat(member: string, json: string, now: number): Beat {
  const { kind, host, pid, at, progressAt = at } = beatSchema.parse(JSON.parse(json))
  const since = (time: number): number => Math.max(0, Math.round(now - time))
  return { member, kind, host, pid, seenMs: since(at), progressMs: since(progressAt) }
}
