import type { Progress } from './progress.ts'

/** The kinds of worker process. */
export const workerKinds = ['consumer', 'delayer', 'trimmer', 'relay', 'follower'] as const

/** One of the kinds of worker process. */
export type WorkerKind = (typeof workerKinds)[number]

/** A long-running worker: Consumer, Delayer, Trimmer, Relay or Follower. */
export interface Worker {
  readonly kind: WorkerKind
  /** Which stream and group it serves, for logs. */
  readonly name: string
  /** The stream that it serves; of a Follower, its replication slot; empty when it serves all. */
  readonly stream: string
  /** How it gets on. */
  readonly progress: Progress
  /**
   * Works until `signal` aborts, then finishes what is in flight and resolves. Errors that can pass are logged and
   * retried inside; a rejection means that it cannot go on.
   */
  run(signal: AbortSignal): Promise<void>
}
