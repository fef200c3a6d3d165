import type { QueryRunner } from 'typeorm'

import type { StreamDefinition } from '../indexed.ts'
import { entriesFor, type NewEntry } from '../outbox/entry.ts'
import type { OutboxTable } from '../outbox/outbox-table.ts'
import { sqlStateOf } from '../sql-state.ts'
import type { Lane } from '../streams/keys.ts'
import type { Message } from '../streams/message.ts'
import type { CarriedTransaction, Carrier } from './carrier.ts'
import { rowsOf } from './redis-carrier.ts'
import { TransactionBuffer } from './transaction-buffer.ts'
import { mergeInTransaction, mostInMainLane } from './transaction-capture.ts'

/** SQLSTATE in_failed_sql_transaction: PostgreSQL takes no more statements until the transaction is rolled back. */
const inFailedTransaction = '25P02'

/** So many rows a transaction keeps in memory; what comes then is written at once. */
const mostBuffered = 5_000

/**
 * Carries changes to the streams through a table of the same database, in the same transaction. So a change and the word
 * of it are committed together or not at all, and Redis is the Relay's business.
 */
export class OutboxCarrier implements Carrier {
  readonly #table: OutboxTable

  constructor(table: OutboxTable) {
    this.#table = table
  }

  begin(queryRunner: QueryRunner): OutboxTransaction {
    return new OutboxTransaction(this.#table, queryRunner)
  }

  async beforeAutocommit(): Promise<void> {
    // The database that takes the statement takes the rest, too.
  }

  async autocommitted(
    queryRunner: QueryRunner,
    definition: StreamDefinition,
    messages: readonly Message[],
  ): Promise<void> {
    try {
      await this.#table.write(queryRunner, entriesFor(definition.stream, 'main', messages))
    } catch (error) {
      if (error instanceof Error) {
        error.message = `${rowsOf(definition, messages)}: written, but not put into the outbox: ${error.message}; write inside a transaction to be safe, or call redstream.touch() for it`
      }
      throw error
    }
  }

  async queue(definition: StreamDefinition, messages: readonly Message[], lane: Lane): Promise<void> {
    await this.#table.onRunner((queryRunner) =>
      this.#table.write(queryRunner, entriesFor(definition.stream, lane, messages)),
    )
  }

  async settled(): Promise<void> {
    // What is committed is in the table.
  }
}

/**
 * A transaction on its way through the outbox. Its changes wait in memory for the commit, so that one statement takes all
 * of them; a large transaction writes them as they come. What is written inside a savepoint is taken back with it by the
 * database.
 */
export class OutboxTransaction implements CarriedTransaction {
  readonly #buffer = new TransactionBuffer<StreamDefinition, Message>(mergeInTransaction)
  readonly #table: OutboxTable
  readonly #queryRunner: QueryRunner
  /** Something is in the table that nobody is woken for yet. */
  #silent = false
  /** Rows of each stream that are in the table already. */
  readonly #written = new Map<StreamDefinition, number>()
  /** The rows that were written last: the events of a large statement come when what it told of is in the table. */
  #lastWritten: ReadonlyMap<StreamDefinition, ReadonlyMap<string, Message>> = new Map()
  #savepoints = 0
  /** What could not be written, and in which savepoint: where a failed statement does not end the transaction, the commit must not come. */
  #failure: { readonly error: unknown; readonly savepoint: number } | undefined
  /** One statement after the other: hooks run side by side, and a connection does one thing at a time. */
  #writing: Promise<void> = Promise.resolve()

  constructor(table: OutboxTable, queryRunner: QueryRunner) {
    this.#table = table
    this.#queryRunner = queryRunner
  }

  announce(): void {
    // Nothing is to be known before the change is there.
  }

  record(definition: StreamDefinition, message: Message): void {
    const known = this.#lastWritten.get(definition)?.get(message.id)
    if (known === undefined || saysMore(message, known)) this.#buffer.add(definition, message.id, message)
  }

  note(definition: StreamDefinition, message: Message): void {
    this.record(definition, message)
  }

  async recordPage(definition: StreamDefinition, messages: readonly Message[]): Promise<void> {
    await this.#write(entriesFor(definition.stream, 'bulk', messages), false)
  }

  caughtUp(isClosing: boolean): Promise<void> | undefined {
    return isClosing || this.#buffer.sizeOfTop >= mostBuffered
      ? this.#flush(this.#buffer.takeTop(), isClosing)
      : undefined
  }

  beginSavepoint(): void {
    this.#savepoints++
    this.#buffer.beginSavepoint()
  }

  releaseSavepoint(): void {
    this.#savepoints--
    if (this.#failure)
      this.#failure = { ...this.#failure, savepoint: Math.min(this.#failure.savepoint, this.#savepoints) }
    this.#buffer.releaseSavepoint()
  }

  rollbackSavepoint(): void {
    if (this.#failure?.savepoint === this.#savepoints) this.#failure = undefined
    this.#savepoints--
    this.#buffer.rollbackSavepoint()
    // The database has taken back what was written inside.
    this.#lastWritten = new Map()
  }

  async beforeCommit(): Promise<void> {
    this.#buffer.changes()
    if (this.#failure !== undefined) throw this.#failure.error
    try {
      await this.#flush(this.#buffer.takeTop(), true)
      if (this.#silent) await this.#table.wake(this.#queryRunner)
    } catch (error) {
      // A statement has failed before, which the application does not mind: COMMIT will roll back, as without us.
      if (sqlStateOf(error) !== inFailedTransaction) throw error
    }
  }

  async afterCommit(): Promise<void> {
    // The Relay has been woken by the database.
  }

  async afterRollback(): Promise<void> {
    // What was written has gone with the transaction.
  }

  #flush(
    changes: ReadonlyMap<StreamDefinition, ReadonlyMap<string, Message>>,
    wakes: boolean,
  ): Promise<void> {
    this.#lastWritten = changes
    const entries = [...changes].flatMap(([definition, rows]) => {
      // The first rows of a transaction may go before a user's own edit, the rest may not.
      const soFar = (this.#written.get(definition) ?? 0) + rows.size
      this.#written.set(definition, soFar)
      return entriesFor(definition.stream, soFar > mostInMainLane ? 'bulk' : 'main', [...rows.values()])
    })
    return this.#write(entries, wakes)
  }

  /** @param wakes - the commit is next: who wakes the relays earlier keeps others from it until then */
  #write(entries: readonly NewEntry[], wakes: boolean): Promise<void> {
    if (entries.length > 0) this.#silent = !wakes
    const written = this.#writing.then(() => this.#table.write(this.#queryRunner, entries, wakes))
    this.#writing = written.catch((error: unknown) => {
      this.#failure ??= { error, savepoint: this.#savepoints }
    })
    return written
  }
}

/** Whether a message has something that an earlier one of the same row has not. */
function saysMore(later: Message, earlier: Message): boolean {
  return JSON.stringify({ ...earlier, ...later }) !== JSON.stringify(earlier)
}
