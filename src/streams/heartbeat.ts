import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'

import { z } from 'zod'

import type { Logger } from '../runtime/logger.ts'
import type { WorkerKind } from '../runtime/worker.ts'
import { workersKey } from './keys.ts'
import { runScript, type RedisClient } from './scripts.ts'

const beatSchema = z.object({
  kind: z.enum(['consumer', 'delayer', 'trimmer']),
  host: z.string(),
  pid: z.number(),
  at: z.number(),
})

/** The last sign of life of a worker. */
export interface Beat {
  readonly member: string
  readonly kind: WorkerKind
  readonly host: string
  readonly pid: number
  /** Milliseconds since it was seen, by Redis' clock. */
  readonly seenMs: number
}

const everyMs = 500
const forgetAfterMs = 60_000

/**
 * Says in Redis, every 500 ms, that this worker lives. Members of a group whose heartbeat stays away lose their
 * entries to the others. The time is that of Redis, so clocks of the machines may differ.
 */
export class Heartbeat {
  /** Unique per worker; the name of the consumer in its groups. */
  readonly member: string
  readonly #redis: RedisClient
  readonly #key: string
  readonly #kind: WorkerKind
  readonly #logger: Logger
  #timer: NodeJS.Timeout | undefined

  constructor(redis: RedisClient, namespace: string, kind: WorkerKind, logger: Logger) {
    this.#redis = redis
    this.#key = workersKey(namespace)
    this.#kind = kind
    this.#logger = logger
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
    await runScript(
      this.#redis,
      'heartbeat',
      [this.#key],
      [this.member, this.#kind, hostname(), process.pid, forgetAfterMs],
    )
  }
}

/** Every worker that was seen in the last minute. */
export async function readHeartbeats(redis: RedisClient, namespace: string): Promise<Beat[]> {
  const [all, time] = await Promise.all([redis.hgetall(workersKey(namespace)), redis.time()])
  const now = Number(time[0]) * 1_000 + Number(time[1]) / 1_000
  return Object.entries(all).map(([member, json]) => {
    const { kind, host, pid, at } = beatSchema.parse(JSON.parse(json))
    return { member, kind, host, pid, seenMs: Math.max(0, Math.round(now - at)) }
  })
}
