import type {
  DataSource,
  EntityMetadata,
  EntitySubscriberInterface,
  InsertEvent,
  ObjectLiteral,
  QueryRunner,
  RecoverEvent,
  RemoveEvent,
  SoftRemoveEvent,
  TransactionCommitEvent,
  TransactionRollbackEvent,
  TransactionStartEvent,
  UpdateEvent,
} from 'typeorm'

import type { CascadeCapture } from '../cascade/captured.ts'
import { definitionsByMetadata } from '../definitions.ts'
import type { StreamDefinition } from '../indexed.ts'
import { pause } from '../runtime/backoff.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Lane } from '../streams/keys.ts'
import type { Message } from '../streams/message.ts'
import { isMovable } from '../place.ts'
import { isInBulkOf } from './bulk-context.ts'
import { changeOfEvent, type Column, type RowChange, type WriteKind } from './changes.ts'
import type { DatabaseCascade } from './database-cascade.ts'
import { keyIn, keyOfChange, messageFor } from './entity-message.ts'
import { Removals } from './removals.ts'
import type { Statements, StatementSink } from './returning/statements.ts'
import { mostInMainLane, TransactionCapture, type Writers } from './transaction-capture.ts'
import type { CallSite, Uncaptured } from './uncaptured.ts'

/** What the events of all kinds of write have in common, as far as it is used here. */
export interface WriteEvent {
  readonly queryRunner: QueryRunner
  readonly metadata: EntityMetadata
  readonly entity?: ObjectLiteral | undefined
  readonly databaseEntity?: ObjectLiteral | undefined
  readonly entityId?: unknown
  /** Of updates by `save`. */
  readonly updatedColumns?: readonly Column[]
}

export interface CaptureOptions {
  readonly dataSource: DataSource
  readonly definitions: readonly StreamDefinition[]
  readonly cascade: CascadeCapture
  readonly databaseCascade: DatabaseCascade
  readonly writers: Writers
  readonly onUnavailable: 'reject' | 'accept'
  readonly requeue: 'orphaned' | 'always'
  readonly uncaptured: Uncaptured
  /** Throws a clear error when Redis does not answer. */
  readonly checkRedis: () => Promise<void>
  /** True while the connection to Redis is up, as far as is known. */
  readonly redisReady: () => boolean
  /** Turns an error of Redis into one that says what to do. */
  readonly describe: (error: unknown) => Error
  readonly logger: Logger
}

// More than a pool has connections, as a rule: then some are left over from lost connections.
const manyOpen = 100

/**
 * So many rows may be under way to the main stream while their writers go on; beyond that, they wait. One transaction that
 * fits into the main lane does not wait.
 */
const mostUnanswered = mostInMainLane

/**
 * Hears of every write of the DataSource and gives the ids to the streams: delay messages before the commit, main
 * messages after it.
 *
 * State: one {@link TransactionCapture} per open transaction, in memory, keyed by its query runner (never
 * `queryRunner.data`, which `save(entity, { data })` replaces). Invariants:
 * - the commit does not start before Redis has the delay messages (`onUnavailable: 'reject'`);
 * - nothing is thrown once the commit may have been sent: TypeORM would report a failed save that is in the
 *   database, or roll back the transaction around a savepoint;
 * - the state leaves the map before the first `await` of the hook that ends it, because another transaction may
 *   begin on the same query runner at once.
 *
 * A crash at any moment leaves the delay messages, and the Delayer re-queues them. Hooks are `async` on purpose: a
 * synchronous throw would keep the event from the subscribers after this one.
 */
export class CaptureSubscriber implements EntitySubscriberInterface, StatementSink {
  /** What learns of changes from the statements themselves, when it is attached. */
  statements: Statements | undefined
  /** What goes with rows that are deleted. */
  readonly removals: Removals
  readonly #options: CaptureOptions
  readonly #concerned: ReadonlyMap<EntityMetadata, readonly StreamDefinition[]>
  /** Of each table that somebody follows: the foreign keys whose former values are needed. */
  readonly #formerColumns = new Map<EntityMetadata, readonly Column[]>()
  readonly #transactions = new WeakMap<QueryRunner, TransactionCapture>()
  readonly #open = new Set<QueryRunner>()
  readonly #publishing = new Set<Promise<void>>()
  /** Rows in {@link #publishing}. */
  #unanswered = 0

  constructor(options: CaptureOptions) {
    this.#options = options
    this.removals = new Removals(options.databaseCascade, (queryRunner, changes, lane) =>
      this.recorded(queryRunner, changes, lane),
    )
    this.#concerned = definitionsByMetadata(options.dataSource, options.definitions)
    for (const [metadata, definitions] of this.#concerned) {
      const columns = definitions.flatMap((one) => options.cascade.formerColumns(one, metadata))
      this.#formerColumns.set(metadata, columns)
    }
  }

  /** The capture of the transaction that is open on a query runner. */
  transactionOf(queryRunner: QueryRunner): TransactionCapture {
    let transaction = this.#transactions.get(queryRunner)
    if (transaction === undefined) {
      transaction = new TransactionCapture(this.#options.writers)
      this.#transactions.set(queryRunner, transaction)
    }
    return transaction
  }

  /** Resolves when everything is published that was committed before the call. */
  async settled(): Promise<void> {
    await Promise.all(this.#publishing)
  }

  /** Waits until no transaction is open, for at most so many ms; returns how many still are. */
  async idle(timeoutMs: number): Promise<number> {
    const end = performance.now() + timeoutMs
    for (;;) {
      this.#forgetReleased()
      if (this.#open.size === 0 || performance.now() > end) return this.#open.size
      await pause(10)
    }
  }

  async afterTransactionStart({ queryRunner }: TransactionStartEvent): Promise<void> {
    if (depthOf(queryRunner) > 1) {
      this.transactionOf(queryRunner).buffer.beginSavepoint()
      return
    }
    this.#transactions.delete(queryRunner)
    if (this.#open.size > manyOpen) this.#forgetReleased()
    this.#open.add(queryRunner)
  }

  async beforeTransactionCommit({ queryRunner }: TransactionCommitEvent): Promise<void> {
    if (depthOf(queryRunner) > 1) return
    // Also when there is nothing yet: another subscriber may save in its own hook of this commit, after ours.
    const transaction = this.transactionOf(queryRunner)
    transaction.closing = true
    await this.#announced(transaction)
    transaction.committing = true
  }

  async afterTransactionCommit({ queryRunner }: TransactionCommitEvent): Promise<void> {
    if (!queryRunner.isTransactionActive) this.#open.delete(queryRunner)
    const transaction = this.#transactions.get(queryRunner)
    if (transaction === undefined) return
    if (queryRunner.isTransactionActive) {
      transaction.buffer.releaseSavepoint()
      return
    }
    this.#transactions.delete(queryRunner)
    await this.#publish(transaction)
  }

  async afterTransactionRollback({ queryRunner }: TransactionRollbackEvent): Promise<void> {
    if (!queryRunner.isTransactionActive) this.#open.delete(queryRunner)
    const transaction = this.#transactions.get(queryRunner)
    if (transaction === undefined) return
    if (queryRunner.isTransactionActive) {
      transaction.buffer.rollbackSavepoint()
      return
    }
    this.#transactions.delete(queryRunner)
    // When COMMIT was sent and failed, for instance by a timeout, it may still have happened: the delay messages
    // stay, and re-reading unchanged rows does no harm.
    if (transaction.committing) return
    try {
      await transaction.discard()
    } catch (error) {
      this.#options.logger.debug(
        { err: error },
        'delay messages of a rolled back transaction stay until they are due',
      )
    }
  }

  async afterInsert(event: InsertEvent<ObjectLiteral>): Promise<void> {
    await this.#after('insert', event)
  }

  async afterUpdate(event: UpdateEvent<ObjectLiteral>): Promise<void> {
    await this.#after('update', event)
  }

  async afterRemove(event: RemoveEvent<ObjectLiteral>): Promise<void> {
    if (this.statements === undefined) await this.removals.done(event.queryRunner)
    await this.#after('delete', event)
  }

  async afterSoftRemove(event: SoftRemoveEvent<ObjectLiteral>): Promise<void> {
    await this.#after('soft delete', event)
  }

  async afterRecover(event: RecoverEvent<ObjectLiteral>): Promise<void> {
    await this.#after('restore', event)
  }

  /** See {@link StatementSink}. Rows of a running `bulk` are its business, but not what they no longer refer to. */
  interest(metadata: EntityMetadata): readonly Column[] | undefined {
    const former = this.#formerColumns.get(metadata)
    if (former === undefined) return undefined
    return former.length > 0 || this.#listening(metadata).length > 0 ? former : undefined
  }

  async beforeAutocommit(): Promise<void> {
    const { onUnavailable, redisReady, checkRedis } = this.#options
    if (onUnavailable === 'reject' && !redisReady()) await checkRedis()
  }

  /** Their delay messages travel while the statement runs. What else is to be in them comes with {@link recorded}. */
  announced(queryRunner: QueryRunner, changes: readonly RowChange[]): void {
    const { cascade } = this.#options
    const transaction = this.transactionOf(queryRunner)
    for (const change of changes) {
      for (const definition of this.#listening(change.metadata)) {
        if (waitsForEvent(definition) || !cascade.concerns(definition, change)) continue
        const id = keyOfChange(definition, change)
        if (id !== undefined) transaction.announce(definition, { id })
      }
    }
  }

  /** @param lane - where the messages go when a transaction is open; without one, to the main lane */
  async recorded(
    queryRunner: QueryRunner,
    changes: readonly RowChange[],
    lane: Lane = 'main',
  ): Promise<void> {
    const messages = this.#messagesOf(changes)
    if (!queryRunner.isTransactionActive) {
      for (const [definition, ofRows] of messages) await this.#publishCommitted(definition, ofRows)
      return
    }
    const transaction = this.transactionOf(queryRunner)
    for (const [definition, ofRows] of messages) {
      if (lane === 'bulk') await transaction.recordPage(definition, ofRows)
      else for (const message of ofRows) transaction.note(definition, message)
    }
    if (transaction.closing) await this.#announced(transaction)
  }

  refuseUncaptured(kind: WriteKind, metadata: EntityMetadata): void {
    for (const definition of this.#listening(metadata)) this.#options.uncaptured.refuse(kind, definition)
  }

  reportUncaptured(kind: WriteKind, metadata: EntityMetadata, site: CallSite): void {
    for (const definition of this.#listening(metadata)) {
      this.#options.uncaptured.report(kind, definition, site)
    }
  }

  #messagesOf(changes: readonly RowChange[]): Map<StreamDefinition, Message[]> {
    const { cascade } = this.#options
    const messages = new Map<StreamDefinition, Message[]>()
    for (const change of changes) {
      for (const definition of this.#concerned.get(change.metadata) ?? []) {
        if (!cascade.concerns(definition, change)) continue
        const id = keyOfChange(definition, change)
        if (id === undefined) {
          // Two classes of one table that do not agree about its primary key.
          if (!isInBulkOf(definition)) this.#options.uncaptured.report(change.kind, definition)
          continue
        }
        const message = cascade.completed<Message>(definition, { id }, change)
        if (message.before === undefined && isInBulkOf(definition)) continue
        const ofDefinition = messages.get(definition) ?? []
        messages.set(definition, ofDefinition)
        ofDefinition.push(message)
      }
    }
    return messages
  }

  #listening(metadata: EntityMetadata): readonly StreamDefinition[] {
    return (this.#concerned.get(metadata) ?? []).filter((definition) => !isInBulkOf(definition))
  }

  /** Announces rows whose key is known already, so that the delay message travels while the statement runs. */
  async beforeWrite(kind: WriteKind, event: WriteEvent): Promise<void> {
    const concerned = this.#concerned.get(event.metadata)
    if (concerned === undefined) return
    await this.mayWrite(event)
    const { cascade } = this.#options
    const change = changeOfEvent(kind, event)
    for (const definition of concerned) {
      if (!cascade.concerns(definition, change)) continue
      const told = messageFor(definition, event) ?? messageOf(definition, change)
      const message = cascade.completed(definition, told, change)
      if (message === undefined) this.#withoutKey(kind, definition, 'refuse')
      // With a payload, the message is made of the entity as it is after the write.
      else if (event.queryRunner.isTransactionActive && definition.options.payload === undefined) {
        this.transactionOf(event.queryRunner).announce(definition, message)
      }
    }
  }

  /** Outside a transaction the row is committed when its `after` hook runs, so Redis is asked before the statement. */
  async mayWrite({ queryRunner, metadata }: WriteEvent): Promise<void> {
    if (!queryRunner.isTransactionActive && this.#concerned.has(metadata)) await this.beforeAutocommit()
  }

  async #after(kind: WriteKind, event: WriteEvent): Promise<void> {
    const concerned = this.#concerned.get(event.metadata)
    if (concerned === undefined) return
    const { cascade } = this.#options
    const change = changeOfEvent(kind, event)
    for (const definition of concerned) {
      if (!cascade.concerns(definition, change)) continue
      const told = this.#messageAfter(definition, event) ?? messageOf(definition, change)
      const message = cascade.completed(definition, told, change)
      if (message === undefined) this.#withoutKey(kind, definition, 'report')
      else if (event.queryRunner.isTransactionActive) {
        const transaction = this.transactionOf(event.queryRunner)
        transaction.record(definition, message)
        // A subscriber that saves in its own beforeTransactionCommit comes after ours.
        if (transaction.closing) await this.#announced(transaction)
      } else await this.#publishCommitted(definition, [message])
    }
  }

  /** What is committed already is published even when `payload()` fails for it. */
  #messageAfter(definition: StreamDefinition, event: WriteEvent): Message | undefined {
    try {
      return messageFor(definition, event)
    } catch (error) {
      const id = event.queryRunner.isTransactionActive ? undefined : keyIn(definition, event)
      if (id === undefined) throw error
      this.#options.logger.error(
        { err: error, entity: definition.metadata.name, id },
        'payload() failed for a row that is committed already, so its message carries none',
      )
      return { id }
    }
  }

  /** A transaction whose connection was lost ends without a hook. */
  #forgetReleased(): void {
    for (const queryRunner of this.#open) if (queryRunner.isReleased) this.#open.delete(queryRunner)
  }

  async #announced(transaction: TransactionCapture): Promise<void> {
    const { onUnavailable, describe, logger } = this.#options
    try {
      await transaction.announced()
    } catch (error) {
      const cause = describe(error)
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
   * Sends what a committed transaction has changed. Nobody waits for the answer when it can be done without: the delay
   * messages are in Redis, and go with this. See docs/decisions/0019-a-save-does-not-wait-for-its-publish.md.
   */
  async #publish(transaction: TransactionCapture): Promise<void> {
    const { requeue, describe, logger } = this.#options
    const { rows } = transaction
    const publishing = transaction.publish(requeue === 'always').catch((error: unknown) => {
      logger.error(
        { err: describe(error) },
        transaction.unannounced
          ? 'committed changes could not be published and have no delay message, so the index misses them: run `redstream verify NAME --repair`'
          : 'committed changes could not be published; the Delayer re-queues them when their delay is over',
      )
    })
    this.#publishing.add(publishing)
    this.#unanswered += rows
    const answered = publishing.then(() => {
      this.#publishing.delete(publishing)
      this.#unanswered -= rows
    })
    if (transaction.unannounced || this.#unanswered > mostUnanswered) await answered
  }

  async #publishCommitted(definition: StreamDefinition, messages: readonly Message[]): Promise<void> {
    const { writers, onUnavailable, describe, logger } = this.#options
    try {
      await writers.get(definition)!.publish(messages, 'main')
    } catch (error) {
      const cause = describe(error)
      const [first, ...others] = messages
      const rows = `${definition.metadata.name} ${first?.id ?? ''}${others.length > 0 ? ` and ${others.length} more` : ''}`
      cause.message = `${rows}: written, but could not be queued for "${definition.name}": ${cause.message}; write inside a transaction to be safe, or call redstream.touch() for it`
      if (onUnavailable === 'reject') throw cause
      logger.warn({ err: cause }, 'a change outside a transaction was not published')
    }
  }

  /** An event without the key of its row is a gap, unless its statement tells of the row. */
  #withoutKey(kind: WriteKind, definition: StreamDefinition, then: 'refuse' | 'report'): void {
    if (!isInBulkOf(definition) && !this.statements?.accountsFor(kind)) {
      this.#options.uncaptured[then](kind, definition)
    }
  }
}

/** The message for a row that another class of its table tells of. */
function messageOf(definition: StreamDefinition, change: RowChange): Message | undefined {
  const id = keyOfChange(definition, change)
  return id === undefined ? undefined : { id }
}

/** Whether the event of a write has more for its message than the key, so that nothing is written before it. */
function waitsForEvent(definition: StreamDefinition): boolean {
  return definition.options.payload !== undefined || isMovable(definition)
}

/** Depth of nested transactions: 1 is the outermost. Not in TypeORM's public types, but in every driver's query runner. */
function depthOf(queryRunner: QueryRunner): number {
  return (queryRunner as unknown as { transactionDepth?: number }).transactionDepth ?? 1
}
