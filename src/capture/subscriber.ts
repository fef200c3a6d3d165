import type {
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
import type { StreamDefinition } from '../indexed.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Lane } from '../streams/keys.ts'
import type { Message } from '../streams/message.ts'
import { isMovable } from '../place.ts'
import { isInBulkOf } from './bulk-context.ts'
import type { Carrier } from './carrier.ts'
import type { ChangeMessages } from './change-messages.ts'
import { changeOfEvent, type Column, type RowChange, type WriteKind } from './changes.ts'
import type { DatabaseCascade } from './database-cascade.ts'
import { keyIn, keyOfChange, messageFor } from './entity-message.ts'
import { Removals } from './removals.ts'
import type { Statements, StatementSink } from './returning/statements.ts'
import type { CarrierOf } from './open-transaction.ts'
import { Transactions } from './transactions.ts'
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
  /** Of the streams that this witness feeds. */
  readonly messages: ChangeMessages
  readonly cascade: CascadeCapture
  readonly databaseCascade: DatabaseCascade
  readonly carrierOf: CarrierOf
  readonly uncaptured: Uncaptured
  readonly logger: Logger
}

/**
 * Hears of every write of the DataSource and gives the ids to whoever carries them to the streams.
 *
 * Nothing is thrown once the commit may have been sent: TypeORM would report a failed save that is in the database, or
 * roll back the transaction around a savepoint. Hooks are `async` on purpose: a synchronous throw would keep the event
 * from the subscribers after this one.
 */
export class CaptureSubscriber implements EntitySubscriberInterface, StatementSink {
  /** What learns of changes from the statements themselves, when it is attached. */
  statements: Statements | undefined
  /** What goes with rows that are deleted. */
  readonly removals: Removals
  readonly #options: CaptureOptions
  readonly #messages: ChangeMessages
  /** What is written inside transactions. */
  readonly transactions: Transactions
  readonly #carriers: ReadonlySet<Carrier>

  constructor(options: CaptureOptions) {
    this.#options = options
    this.removals = new Removals(options.databaseCascade, (queryRunner, changes, lane) =>
      this.recorded(queryRunner, changes, lane),
    )
    this.#messages = options.messages
    this.transactions = new Transactions(options.carrierOf)
    const followed = this.#messages.entities.flatMap((metadata) => this.#messages.concerned(metadata))
    this.#carriers = new Set(followed.map(options.carrierOf))
  }

  async afterTransactionStart({ queryRunner }: TransactionStartEvent): Promise<void> {
    this.transactions.started(queryRunner)
  }

  async beforeTransactionCommit({ queryRunner }: TransactionCommitEvent): Promise<void> {
    await this.transactions.beforeCommit(queryRunner)
  }

  async afterTransactionCommit({ queryRunner }: TransactionCommitEvent): Promise<void> {
    await this.transactions.afterCommit(queryRunner)
  }

  async afterTransactionRollback({ queryRunner }: TransactionRollbackEvent): Promise<void> {
    await this.transactions.afterRollback(queryRunner)
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
    const former = this.#messages.formerColumns(metadata)
    if (former === undefined) return undefined
    return former.length > 0 || this.#listening(metadata).length > 0 ? former : undefined
  }

  async beforeAutocommit(): Promise<void> {
    for (const carrier of this.#carriers) await carrier.beforeAutocommit()
  }

  /** Their delay messages travel while the statement runs. What else is to be in them comes with {@link recorded}. */
  announced(queryRunner: QueryRunner, changes: readonly RowChange[]): void {
    const { cascade } = this.#options
    const transaction = this.transactions.of(queryRunner)
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
      for (const [definition, ofRows] of messages) {
        await this.#options.carrierOf(definition).autocommitted(queryRunner, definition, ofRows)
      }
      return
    }
    const transaction = this.transactions.of(queryRunner)
    for (const [definition, ofRows] of messages) {
      if (lane === 'bulk') await transaction.recordPage(definition, ofRows)
      else for (const message of ofRows) transaction.note(definition, message)
    }
    await transaction.caughtUp()
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
    const messages = new Map<StreamDefinition, Message[]>()
    for (const { definition, change, message } of this.#messages.told(changes)) {
      if (message === undefined) {
        // Two classes of one table that do not agree about its primary key.
        if (!isInBulkOf(definition)) this.#options.uncaptured.report(change.kind, definition)
        continue
      }
      if (message.before === undefined && isInBulkOf(definition)) continue
      const ofDefinition = messages.get(definition) ?? []
      messages.set(definition, ofDefinition)
      ofDefinition.push(message)
    }
    return messages
  }

  #listening(metadata: EntityMetadata): readonly StreamDefinition[] {
    return this.#messages.concerned(metadata).filter((definition) => !isInBulkOf(definition))
  }

  /** Announces rows whose key is known already, so that the delay message travels while the statement runs. */
  async beforeWrite(kind: WriteKind, event: WriteEvent): Promise<void> {
    const concerned = this.#messages.concerned(event.metadata)
    if (concerned.length === 0) return
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
        this.transactions.of(event.queryRunner).announce(definition, message)
      }
    }
  }

  /** Outside a transaction the row is committed when its `after` hook runs, so the carriers are asked before the statement. */
  async mayWrite({ queryRunner, metadata }: WriteEvent): Promise<void> {
    if (queryRunner.isTransactionActive) return
    const carriers = new Set(this.#messages.concerned(metadata).map(this.#options.carrierOf))
    for (const carrier of carriers) await carrier.beforeAutocommit()
  }

  async #after(kind: WriteKind, event: WriteEvent): Promise<void> {
    const { metadata, queryRunner } = event
    const concerned = this.#messages.concerned(metadata)
    if (concerned.length === 0) return
    const { cascade, carrierOf } = this.#options
    const change = changeOfEvent(kind, event)
    for (const definition of concerned) {
      if (!cascade.concerns(definition, change)) continue
      const told = this.#messageAfter(definition, event) ?? messageOf(definition, change)
      const message = cascade.completed(definition, told, change)
      if (message === undefined) this.#withoutKey(kind, definition, 'report')
      else if (queryRunner.isTransactionActive) this.transactions.of(queryRunner).record(definition, message)
      else await carrierOf(definition).autocommitted(queryRunner, definition, [message])
    }
    // A subscriber that saves in its own beforeTransactionCommit comes after ours.
    if (queryRunner.isTransactionActive) await this.transactions.of(queryRunner).caughtUp()
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
