const firstPauseMs = 500
const longestPauseMs = 10_000

/**
 * The sources of entries that cannot be published at the moment, though others can: the node of a cluster that holds
 * their stream is away, or its key is spoilt. They are passed over for a while, with growing pauses, so that neither the
 * rest of the outbox waits behind them nor what goes along with them is published again and again.
 *
 * No I/O and no clock of its own.
 */
export class PassedOver {
  readonly #sources = new Map<string, { readonly untilMs: number; readonly pauseMs: number }>()

  /** The sources that are not to be tried at this moment. */
  at(nowMs: number): string[] {
    return [...this.#sources].flatMap(([source, { untilMs }]) => (nowMs < untilMs ? [source] : []))
  }

  failed(source: string, nowMs: number): void {
    const before = this.#sources.get(source)
    // Entries of one batch fail together.
    if (before !== undefined && nowMs < before.untilMs) return
    const pauseMs = before === undefined ? firstPauseMs : Math.min(before.pauseMs * 2, longestPauseMs)
    this.#sources.set(source, { untilMs: nowMs + pauseMs, pauseMs })
  }

  published(source: string): void {
    this.#sources.delete(source)
  }
}
