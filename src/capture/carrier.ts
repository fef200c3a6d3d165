import type { QueryRunner } from 'typeorm'

import type { StreamDefinition } from '../indexed.ts'
import type { Lane } from '../streams/keys.ts'
import type { Message } from '../streams/message.ts'

/** The way of changes to the streams: straight to Redis, or through the outbox. */
export interface Carrier {
  /** What a transaction changes in the streams of this carrier. */
  begin(queryRunner: QueryRunner): CarriedTransaction
  /** Before a statement outside a transaction: the last moment at which it can be refused. */
  beforeAutocommit(): Promise<void>
  /** Rows that were written outside a transaction, and are committed. */
  autocommitted(
    queryRunner: QueryRunner,
    definition: StreamDefinition,
    messages: readonly Message[],
  ): Promise<void>
  /**
   * Queues rows by hand.
   *
   * @throws RedstreamError REDIS_UNAVAILABLE, REDIS or DATABASE
   */
  queue(definition: StreamDefinition, messages: readonly Message[], lane: Lane): Promise<void>
  /** Resolves when everything is queued that was committed before the call. */
  settled(): Promise<void>
}

/** One transaction on its way to the streams. Its hooks after the end never reject: TypeORM must not hear of it. */
export interface CarriedTransaction {
  /** A row that is about to change, or may be. */
  announce(definition: StreamDefinition, message: Message): void
  /** A change that the commit makes true. */
  record(definition: StreamDefinition, message: Message): void
  /** The same, told by its statement. An event may tell of it too, and only that one has the payload. */
  note(definition: StreamDefinition, message: Message): void
  /** Changes of many rows, a page at a time, for the bulk lane. */
  recordPage(definition: StreamDefinition, messages: readonly Message[]): Promise<void>
  /**
   * After something was recorded; undefined when it can wait for the commit.
   *
   * @param isClosing - {@link beforeCommit} has been called, and does not come again
   */
  caughtUp(isClosing: boolean): Promise<void> | undefined
  beginSavepoint(): void
  releaseSavepoint(): void
  rollbackSavepoint(): void
  /** Before the commit, which it may refuse. */
  beforeCommit(): Promise<void>
  afterCommit(): Promise<void>
  /** @param mayBeCommitted - COMMIT was sent and failed, for instance by a timeout: it may still have happened */
  afterRollback(mayBeCommitted: boolean): Promise<void>
}
