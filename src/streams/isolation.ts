import { Semaphore } from 'async-mutex'

// More attempts than this at once only wait for their turn.
const seats = 1_024

/**
 * Lets a batch that may have ended its consumer's process be tried without any other in flight in this process: when
 * the process ends again, no neighbour is blamed, and none has to be repeated.
 *
 * It is held for one attempt at a time, never while a batch pauses after a failure: one stream that cannot go on must
 * not stop the others.
 */
export class Isolation {
  readonly #seats = new Semaphore(seats)

  /** Runs `attempt` beside others or, with `alone`, when all that run are done and before any that come later. */
  run<T>(attempt: () => Promise<T>, alone: boolean): Promise<T> {
    return this.#seats.runExclusive(attempt, alone ? seats : 1)
  }
}
