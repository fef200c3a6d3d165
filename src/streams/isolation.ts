/** A batch that waits for its turn. */
interface Turn {
  readonly alone: boolean
  readonly begin: () => void
}

/**
 * Lets a batch that may have ended its consumer's process be tried without any other in flight in this process: when
 * the process ends again, no neighbour is blamed, and none has to be repeated.
 *
 * It is held for one attempt at a time, never while a batch pauses after a failure: one stream that cannot go on must
 * not stop the others.
 */
export class Isolation {
  readonly #waiting: Turn[] = []
  #running = 0
  #isAlone = false

  /**
   * Runs `attempt` beside others or, with `alone`, when all that run are done and before any that come later. When it
   * has to wait for its turn and `signal` aborts, it is not run at all, and nobody waits for it any more.
   *
   * @returns undefined when it was not run
   */
  async run<T>(attempt: () => Promise<T>, alone: boolean, signal: AbortSignal): Promise<T | undefined> {
    if (!(await this.#turn(alone, signal))) return undefined
    try {
      return await attempt()
    } finally {
      this.#running -= 1
      this.#isAlone = false
      this.#beginNext()
    }
  }

  async #turn(alone: boolean, signal: AbortSignal): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const turn: Turn = { alone, begin: () => resolve(true) }
    const giveUp = (): void => {
      const position = this.#waiting.indexOf(turn)
      if (position < 0) return
      this.#waiting.splice(position, 1)
      resolve(false)
      this.#beginNext()
    }
    signal.addEventListener('abort', giveUp)
    this.#waiting.push(turn)
    this.#beginNext()
    if (signal.aborted) giveUp()
    return promise.finally(() => signal.removeEventListener('abort', giveUp))
  }

  /** First come, first served. */
  #beginNext(): void {
    for (;;) {
      const [next] = this.#waiting
      if (next === undefined || this.#isAlone || (next.alone && this.#running > 0)) return
      this.#waiting.shift()
      this.#running += 1
      this.#isAlone = next.alone
      next.begin()
    }
  }
}
