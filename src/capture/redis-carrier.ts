import type { QueryRunner } from 'typeorm'

import type { StreamDefinition } from '../indexed.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Lane } from '../streams/keys.ts'
import type { Message } from '../streams/message.ts'
import { afterwards, doNow } from './afterwards.ts'
import type { CarriedTransaction, Carrier } from './carrier.ts'
import type { StreamAccess } from './stream-access.ts'
import { TransactionCapture, type Identity } from './transaction-capture.ts'
import type { TransactionIds } from './transaction-id.ts'

export interface RedisCarrierOptions {
  readonly streams: StreamAccess
  readonly onUnavailable: 'reject' | 'accept'
  readonly requeue: 'orphaned' | 'always'
  readonly logger: Logger
}

/**
 * So many rows may be under way to the streams while their writers go on; beyond that, they wait. They are some 20 MB of
 * keys in this process, and about half a second of Redis' time.
 */
const mostUnanswered = 200_000

/**
 * Carries changes to the streams straight: delay messages before the commit, main messages after it.
 *
 * The commit does not start before Redis has the delay messages (`onUnavailable: 'reject'`). A crash at any moment leaves
 * them, and the Delayer re-queues them.
 */
export class RedisCarrier implements Carrier {
  /** What says which transaction a delay message belongs to; undefined: nobody can. */
  transactionIds: TransactionIds | undefined
  readonly #options: RedisCarrierOptions
  readonly #publishing = new Set<Promise<void>>()
  /** Rows in {@link #publishing}. */
  #unanswered = 0

  constructor(options: RedisCarrierOptions) {
    this.#options = options
  }

  begin(queryRunner: QueryRunner): RedisTransaction {
    const ids = this.transactionIds
    const identity = ids && { some: ids.some, ask: () => ids.open(queryRunner) }
    return new RedisTransaction(this.#options.streams, this, identity)
  }

  async beforeAutocommit(): Promise<void> {
    const { onUnavailable, streams } = this.#options
    const { connections } = streams
    if (onUnavailable === 'reject' && connections.commands.status !== 'ready') await connections.check()
  }

  async autocommitted(
    _: QueryRunner,
    definition: StreamDefinition,
    messages: readonly Message[],
  ): Promise<void> {
    const { streams, onUnavailable, logger } = this.#options
    try {
      await this.#publishNow(definition, messages, 'main')
    } catch (error) {
      const cause = streams.connections.describe(error)
      cause.message = `${rowsOf(definition, messages)}: written, but could not be queued for "${definition.name}": ${cause.message}; write inside a transaction to be safe, or call redstream.touch() for it`
      if (onUnavailable === 'reject') throw cause
      logger.warn({ err: cause }, 'a change outside a transaction was not published')
    }
  }

  async queue(definition: StreamDefinition, messages: readonly Message[], lane: Lane): Promise<void> {
    try {
      await this.#publishNow(definition, messages, lane)
    } catch (error) {
      throw this.#options.streams.connections.describe(error)
    }
  }

  async settled(): Promise<void> {
    doNow()
    await Promise.all(this.#publishing)
  }

  /**
   * Resolves when Redis has every delay message of a transaction; rejects when it may not be committed without, and when
   * it has failed in the database.
   */
  async announced(transaction: TransactionCapture): Promise<void> {
    const { onUnavailable, streams, logger } = this.#options
    await transaction.identified()
    try {
      await transaction.announced()
    } catch (error) {
      const cause = streams.connections.describe(error)
      if (onUnavailable === 'reject') {
        cause.message = `the transaction is rolled back, because its changes could not be noted: ${cause.message} (setting onUnavailable)`
        throw cause
      }
      logger.warn(
        { err: cause },
        'changes are committed without a delay message (onUnavailable "accept"); if publishing fails too, the index misses them: run `redstream verify NAME --repair`',
      )
    }
  }

  /**
   * Sends what a committed transaction has changed, a moment later and without waiting for the answer when it can be done
   * without: the delay messages are in Redis, and go with this. See docs/decisions/0019-a-save-does-not-wait-for-its-publish.md.
   */
  async publish(transaction: TransactionCapture): Promise<void> {
    const { rows } = transaction
    this.#unanswered += rows
    const mustWait = transaction.unannounced || this.#unanswered > mostUnanswered
    const publishing = afterwards(() => this.#send(transaction))
    if (mustWait) doNow()
    this.#publishing.add(publishing)
    const answered = publishing.then(() => {
      this.#publishing.delete(publishing)
      this.#unanswered -= rows
    })
    if (mustWait) await answered
  }

  /** After what was committed before it: the last payload of a row is the one that counts. */
  async #publishNow(definition: StreamDefinition, messages: readonly Message[], lane: Lane): Promise<void> {
    doNow()
    await this.#options.streams.writerOf(definition).publish(messages, lane)
  }

  /** Never rejects. */
  async #send(transaction: TransactionCapture): Promise<void> {
    const { requeue, streams, logger } = this.#options
    try {
      await transaction.publish(requeue === 'always')
    } catch (error) {
      logger.error(
        { err: streams.connections.describe(error) },
        transaction.unannounced
          ? 'committed changes could not be published and have no delay message, so the index misses them: run `redstream verify NAME --repair`'
          : 'committed changes could not be published; the Delayer re-queues them when their delay is over',
      )
    }
  }

  async discard(transaction: TransactionCapture): Promise<void> {
    try {
      await transaction.discard()
    } catch (error) {
      this.#options.logger.debug(
        { err: error },
        'delay messages of a rolled back transaction stay until they are due',
      )
    }
  }
}

/** A transaction on its way straight to Redis. */
export class RedisTransaction extends TransactionCapture implements CarriedTransaction {
  readonly #carrier: RedisCarrier

  constructor(streams: StreamAccess, carrier: RedisCarrier, identity: Identity | undefined) {
    super(streams.writers, identity)
    this.#carrier = carrier
  }

  caughtUp(isClosing: boolean): Promise<void> | undefined {
    return isClosing ? this.#carrier.announced(this) : undefined
  }

  beginSavepoint(): void {
    this.buffer.beginSavepoint()
  }

  releaseSavepoint(): void {
    this.buffer.releaseSavepoint()
  }

  rollbackSavepoint(): void {
    this.buffer.rollbackSavepoint()
  }

  async beforeCommit(): Promise<void> {
    await this.#carrier.announced(this)
  }

  async afterCommit(): Promise<void> {
    await this.#carrier.publish(this)
  }

  async afterRollback(mayBeCommitted: boolean): Promise<void> {
    // Re-reading unchanged rows does no harm.
    if (!mayBeCommitted) await this.#carrier.discard(this)
  }
}

/** Which rows, for messages. */
export function rowsOf({ metadata }: StreamDefinition, [first, ...others]: readonly Message[]): string {
  return `${metadata.name} ${first?.id ?? ''}${others.length > 0 ? ` and ${others.length} more` : ''}`
}
