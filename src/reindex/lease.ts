import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'

import { pause } from '../runtime/backoff.ts'
import type { Driver } from './state.ts'
import type { ReindexStore } from './store.ts'

// In parts of the time after which a silent worker counts as dead: a driver has three of them.
const termParts = 3
/** Nothing is begun with a lease that ends sooner: an answer may be under way for some time. */
const marginParts = 1
const renewalsPerPart = 2

/** The right to drive the reindex of one index: one process at a time has it, and shows that it lives. */
export class Lease {
  readonly #store: ReindexStore
  readonly #driver: Driver
  readonly #lost = new AbortController()
  readonly #partMs: number
  readonly #timer: NodeJS.Timeout
  #trustedUntil: number

  private constructor(store: ReindexStore, driver: Driver, partMs: number, takenAt: number) {
    this.#store = store
    this.#driver = driver
    this.#partMs = partMs
    this.#trustedUntil = takenAt + (termParts - marginParts) * partMs
    this.#timer = setInterval(() => void this.#renew(), partMs / renewalsPerPart)
  }

  /**
   * Takes the lease, or says who has it.
   *
   * @param partMs - a third of the time for which it lasts without being renewed
   */
  static async take(store: ReindexStore, partMs: number): Promise<Lease | Driver> {
    const member = `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`
    const driver = { member, host: hostname(), pid: process.pid, since: await store.now() }
    const takenAt = performance.now()
    const other = await store.drive(driver, termParts * partMs)
    return other ?? new Lease(store, driver, partMs, takenAt)
  }

  /** Takes the lease as soon as it is free; says who has it when that one shows that it lives. */
  static async takeFromDead(store: ReindexStore, partMs: number): Promise<Lease | Driver> {
    let left = Infinity
    for (;;) {
      const taken = await Lease.take(store, partMs)
      if (taken instanceof Lease) return taken
      const now = await store.leaseLeftMs()
      if (now > left) return taken
      left = now
      await pause(100)
    }
  }

  /** Aborts when another process has the lease. */
  get lost(): AbortSignal {
    return this.#lost.signal
  }

  /** Waits until the lease lasts long enough to begin something with it; false when it is lost. */
  async holds(signal: AbortSignal): Promise<boolean> {
    while (!this.#lost.signal.aborted && !signal.aborted) {
      if (performance.now() < this.#trustedUntil) return true
      await this.#renew()
      if (performance.now() >= this.#trustedUntil) await pause(200, signal)
    }
    return false
  }

  /** Gives it back. */
  async release(): Promise<void> {
    clearInterval(this.#timer)
    this.#lost.abort()
    // Otherwise it expires.
    await this.#store.drive(this.#driver, 0).catch(() => undefined)
  }

  async #renew(): Promise<void> {
    const renewedAt = performance.now()
    try {
      const other = await this.#store.drive(this.#driver, termParts * this.#partMs)
      if (this.#lost.signal.aborted) return
      if (other === undefined) this.#trustedUntil = renewedAt + (termParts - marginParts) * this.#partMs
      else {
        clearInterval(this.#timer)
        this.#lost.abort()
      }
    } catch {
      // Redis is away: what is trusted ends by itself.
    }
  }
}
