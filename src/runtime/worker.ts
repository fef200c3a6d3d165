/** The kinds of worker process. */
export type WorkerKind = 'consumer' | 'delayer' | 'trimmer'

/** A long-running worker: Consumer, Delayer or Trimmer. */
export interface Worker {
  readonly kind: WorkerKind
  /** Which stream and group it serves, for logs. */
  readonly name: string
  /**
   * Works until `signal` aborts, then finishes what is in flight and resolves. Errors that can pass are logged and
   * retried inside; a rejection means that it cannot go on.
   */
  run(signal: AbortSignal): Promise<void>
}
