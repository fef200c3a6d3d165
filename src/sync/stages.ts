import type { IndexStage } from '../runtime/events.ts'
import type { Activity } from '../runtime/progress.ts'

/** Tells how a batch gets on, and takes the time of its stages. */
export class Stages {
  readonly #activity: Activity
  readonly #seconds: Record<IndexStage, number> = { ticket: 0, load: 0, build: 0, index: 0 }
  #stage: IndexStage | undefined
  #since = 0

  constructor(activity: Activity) {
    this.#activity = activity
  }

  /** The stage before is over. */
  begins(stage: IndexStage): void {
    this.#stop()
    this.#stage = stage
    this.#activity.begins(stage)
  }

  /** The last one is over: seconds of each. */
  end(): Record<IndexStage, number> {
    this.#stop()
    return this.#seconds
  }

  #stop(): void {
    const now = performance.now()
    if (this.#stage !== undefined) this.#seconds[this.#stage] += (now - this.#since) / 1_000
    this.#stage = undefined
    this.#since = now
  }
}
