import type { Progress } from './progress.ts'

/** The kinds of worker process. */
export const workerKinds = ['consumer', 'delayer', 'trimmer'] as const

/** One of the kinds of worker process. */
export type WorkerKind = (typeof workerKinds)[number]

/** A long-running worker: Consumer, Delayer or Trimmer. */
export interface Worker {
  readonly kind: WorkerKind
  /** Which stream and group it serves, for logs. */
  readonly name: string
  /** The stream that it serves. */
  readonly stream: string
  /** How it gets on. */
  readonly progress: Progress
  /**
   * Works until `signal` aborts, then finishes what is in flight and resolves. Errors that can pass are logged and
   * retried inside; a rejection means that it cannot go on.
   */
  run(signal: AbortSignal): Promise<void>
}
