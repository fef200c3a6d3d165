import { pause } from '../runtime/backoff.ts'
import type { Logger } from '../runtime/logger.ts'
import { blockMs, type RedisConnections } from '../streams/connection.ts'
import { progressOf, Speed, type ReindexProgress } from './progress.ts'
import type { ReindexStore } from './store.ts'

/** Pages may be many a second; nobody reads so fast. */
const calmMs = 200

/**
 * How far the reindex of one index is, for whoever wants to know: the last state is kept in Redis, and every change of
 * it is published there.
 */
export class NoticeBoard {
  readonly #store: ReindexStore
  readonly #connections: RedisConnections
  readonly #logger: Logger

  constructor(store: ReindexStore, connections: RedisConnections, logger: Logger) {
    this.#store = store
    this.#connections = connections
    this.#logger = logger
  }

  /** How far the last reindex is; undefined when there was none. */
  async read(speed?: Speed): Promise<ReindexProgress | undefined> {
    const state = await this.#store.read()
    if (state === undefined) return undefined
    const [copy, driver, now] = await Promise.all([
      this.#store.progress(state.id),
      this.#store.driver(),
      this.#store.now(),
    ])
    if (state.phase === 'copying') speed?.add(copy.rows, now)
    return progressOf(state, copy, driver, now, speed?.rowsPerSecond)
  }

  /** Tells how far the last reindex is whenever that changes, and twice a second, until `signal` aborts. */
  async follow(tell: (progress: ReindexProgress) => void, signal: AbortSignal): Promise<void> {
    const reader = this.#connections.blocking(signal)
    const speed = new Speed()
    const release = (): void => this.#connections.release(reader)
    signal.addEventListener('abort', release)
    try {
      while (!signal.aborted) {
        try {
          const progress = await this.read(speed)
          if (progress !== undefined) tell(progress)
          if (!signal.aborted) await this.#store.news(reader, blockMs)
          await pause(calmMs, signal)
        } catch (error) {
          if (signal.aborted) return
          this.#logger.debug({ err: error }, 'the progress cannot be read; trying again')
          await pause(blockMs, signal)
        }
      }
    } finally {
      signal.removeEventListener('abort', release)
      release()
    }
  }
}
