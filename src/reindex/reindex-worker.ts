import { Backoff, pause } from '../runtime/backoff.ts'
import type { Logger } from '../runtime/logger.ts'
import { Progress, type Activity } from '../runtime/progress.ts'
import type { Worker } from '../runtime/worker.ts'
import { isOver } from './phases.ts'
import type { Reindexer } from './reindexer.ts'
import { isDue, type ReindexState } from './state.ts'

export interface ReindexWorkerOptions {
  readonly reindexer: Reindexer
  readonly stream: string
  /** Slices at once. */
  readonly hands: number
  readonly logger: Logger
}

const lookEveryMs = 1_000

/**
 * Helps with the reindex of one index, whoever began it: copies slices, goes on with it when its driver is dead or has
 * left it to the workers, and removes the old index when its time is over.
 *
 * Owns no state: it looks in Redis once a second whether there is something to do.
 */
export class ReindexWorker implements Worker {
  readonly kind = 'consumer'
  readonly name: string
  readonly stream: string
  readonly progress = new Progress()
  readonly #options: ReindexWorkerOptions

  constructor(options: ReindexWorkerOptions) {
    this.#options = options
    this.stream = options.stream
    this.name = `reindex of ${options.stream}`
  }

  async run(signal: AbortSignal): Promise<void> {
    const activity = this.progress.begin('read')
    const backoff = new Backoff()
    while (!signal.aborted) {
      try {
        await this.#help(activity, signal)
        backoff.reset()
        activity.rests()
        await pause(lookEveryMs, signal)
      } catch (error) {
        if (signal.aborted) break
        activity.failed()
        this.#options.logger.error(
          { err: error, worker: this.name },
          'cannot help with the reindex; trying again',
        )
        activity.pauses()
        await backoff.pause(signal)
      }
    }
    activity.ends()
  }

  async #help(activity: Activity, signal: AbortSignal): Promise<void> {
    const { reindexer, hands } = this.#options
    activity.begins('read')
    const state = await reindexer.store.read()
    activity.advanced()
    if (state === undefined || !reindexer.mayDrive(state)) return
    if (isOver(state.phase) ? !state.again : !isDue(state, await reindexer.store.now())) return
    activity.rests()
    await reindexer.drive({ hands }, signal)
    if (!signal.aborted && state.phase === 'copying') await this.#copyAlong(state, signal)
  }

  /** Copies while somebody else drives. */
  async #copyAlong({ id }: ReindexState, signal: AbortSignal): Promise<void> {
    const { reindexer, hands } = this.#options
    const { store } = reindexer
    const read = async (): Promise<ReindexState | undefined> => {
      const state = await store.read()
      return state?.id === id && state.phase === 'copying' ? state : undefined
    }
    const state = await read()
    if (state === undefined) return
    const stopping = new AbortController()
    const copying = reindexer.copier(state, hands).run(AbortSignal.any([signal, stopping.signal]))
    try {
      while (!signal.aborted && (await store.driver()) !== undefined && (await read()) !== undefined) {
        await pause(lookEveryMs, signal)
      }
    } finally {
      stopping.abort()
      await copying
    }
  }
}
