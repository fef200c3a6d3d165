import { setTimeout as sleep } from 'node:timers/promises'

import { ExponentialBackoff, type IBackoff } from 'cockatiel'

/** Growing pauses with jitter between attempts, in ms: from about `firstMs` up to `longestMs`. */
export class Backoff {
  readonly #factory: ExponentialBackoff<unknown>
  #current: IBackoff<unknown> | undefined

  constructor(firstMs = 100, longestMs = 10_000) {
    this.#factory = new ExponentialBackoff({ initialDelay: firstMs, maxDelay: longestMs })
  }

  /** Forgets the failures so far. */
  reset(): void {
    this.#current = undefined
  }

  /** Waits before the next attempt; returns at once when `signal` aborts. */
  async pause(signal?: AbortSignal): Promise<void> {
    this.#current = this.#current === undefined ? this.#factory.next() : this.#current.next(undefined)
    await pause(this.#current.duration, signal)
  }
}

/** Waits for `ms`, or until `signal` aborts; never rejects. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await sleep(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined)
}
