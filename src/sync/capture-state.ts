import type { DataSource } from 'typeorm'

import type { CaptureMode } from '../capture/modes.ts'
import type { CaptureModes } from '../capture/stream-modes.ts'
import { knowsOutbox, OutboxTable } from '../outbox/outbox-table.ts'
import { OutboxQueue, type OutboxStatus } from '../outbox/queue.ts'
import type { Logger } from '../runtime/logger.ts'
import { workerKinds, type WorkerKind } from '../runtime/worker.ts'

/** What the ways of capture have in the database, as the workers and commands see it. */
export class CaptureState {
  readonly #modes: ReadonlySet<CaptureMode>
  readonly #dataSource: DataSource
  readonly #captureSchema: string
  readonly #logger: Logger
  #queue: OutboxQueue | undefined

  constructor(dataSource: DataSource, modes: CaptureModes, captureSchema: string, logger: Logger) {
    this.#dataSource = dataSource
    this.#modes = new Set(modes.values())
    this.#captureSchema = captureSchema
    this.#logger = logger
  }

  /** How much waits in the outbox; undefined when there is none, or when the database does not answer. */
  async outbox(): Promise<OutboxStatus | undefined> {
    return this.#ask((queue) => queue.status())
  }

  /**
   * The kinds of workers that somebody must run: a relay when a mode needs the outbox, and also when it holds rows of a
   * former mode, so that nothing is lost when the mode changes.
   */
  async kindsNeeded(): Promise<WorkerKind[]> {
    const usesOutbox = this.#modes.has('outbox') || this.#modes.has('trigger')
    const relays = usesOutbox || (await this.#ask((queue) => queue.isEmpty())) === false
    const follows = this.#modes.has('wal')
    return workerKinds.filter((kind) => (kind === 'relay' ? relays : kind === 'follower' ? follows : true))
  }

  /** What is asked besides is told of even when the database does not answer: then people want to see it most. */
  async #ask<T>(question: (queue: OutboxQueue) => Promise<T>): Promise<T | undefined> {
    try {
      const queue = await this.#outbox()
      return queue && (await question(queue))
    } catch (error) {
      this.#logger.warn({ err: error }, 'the database does not say what is in the outbox')
      return undefined
    }
  }

  async #outbox(): Promise<OutboxQueue | undefined> {
    if (this.#queue !== undefined) return this.#queue
    if (!knowsOutbox(this.#dataSource)) return undefined
    const table = new OutboxTable(this.#dataSource, this.#captureSchema)
    if (await table.exists()) this.#queue = new OutboxQueue(table)
    return this.#queue
  }
}
