import { pause } from '../runtime/backoff.ts'
import { groupLagMs } from '../streams/inspect.ts'
import type { RedisClient } from '../streams/scripts.ts'
import { indexGroup } from '../sync/indexer.ts'
import type { ReindexStore } from './store.ts'

const shortestPauseMs = 25
const longestPauseMs = 2_000
const lookEveryMs = 500

/**
 * How long to pause before each page: twice as long as before while live changes lag, half as long when they do not.
 * It ends at 2 s, since a lag that does not come from the copy (no Consumer runs) must not stop it.
 */
export function nextPause(pauseMs: number, lagMs: number, limitMs: number): number {
  if (lagMs > limitMs) return Math.min(longestPauseMs, Math.max(shortestPauseMs, pauseMs * 2))
  return pauseMs <= shortestPauseMs ? 0 : pauseMs / 2
}

export interface PaceOptions {
  readonly store: ReindexStore
  readonly redis: RedisClient
  /** Rows a second, of all who copy; 0: as many as go. */
  readonly rate: number
  /** Live changes may wait so long before the copy slows down. */
  readonly lagLimitMs: number
}

/** Lets a copy go as fast as it may: not above its rate, and slower while live changes wait. */
export class Pace {
  readonly #options: PaceOptions
  #pauseMs = 0
  #lookedAt = -Infinity

  constructor(options: PaceOptions) {
    this.#options = options
  }

  /** Waits until so many rows may be copied, or `signal` aborts. */
  async wait(rows: number, signal: AbortSignal): Promise<void> {
    const { store, rate } = this.#options
    await this.#look()
    const reserved = rate === 0 ? 0 : await store.reserve(rows, rate)
    const ms = Math.max(this.#pauseMs, reserved)
    if (ms > 0) await pause(ms, signal)
  }

  async #look(): Promise<void> {
    const { redis, store, lagLimitMs } = this.#options
    const now = performance.now()
    if (now - this.#lookedAt < lookEveryMs) return
    this.#lookedAt = now
    const lags = await Promise.all(
      // Other groups are no concern of Elasticsearch.
      store.partitions.map(({ keys }) => groupLagMs(redis, keys.main, indexGroup)),
    )
    this.#pauseMs = nextPause(this.#pauseMs, Math.max(...lags), lagLimitMs)
  }
}
