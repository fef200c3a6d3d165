import type { DataSource, EntityManager, EntityTarget, ObjectLiteral, QueryRunner } from 'typeorm'

import { definitionOf } from '../definitions.ts'
import { RedstreamError } from '../errors.ts'
import type { IndexDefinition } from '../indexed.ts'
import type { Message } from '../streams/message.ts'
import type { DelayEntry, StreamWriter } from '../streams/stream-writer.ts'
import { beginBulk, runInBulk, whereWritten, type RunningBulk } from './bulk-context.ts'
import { messageFor } from './entity-message.ts'
import { matchingKeys, type Where } from './key-pages.ts'
import type { CaptureSubscriber } from './subscriber.ts'
import { moveOrPublish, type Writers } from './transaction-capture.ts'

/** An id (a scalar, or a map for composite keys), or an entity that has one. */
export type EntityOrId<E extends ObjectLiteral> = E | Partial<E> | string | number | bigint

export interface BulkOptions {
  /**
   * The manager whose rows are looked at. Default: one of the primary database. Pass that of the open transaction when the
   * pool has no second connection, or when rows matter that only this transaction sees.
   */
  manager?: EntityManager
}

/** The delay messages that {@link Producer.bulkDelay} wrote, for {@link Producer.bulkQueue} to take away again. */
export interface Delayed {
  /** Number of rows. */
  readonly rows: number
  /** @internal */
  readonly entries: readonly DelayEntry[]
  /** The rows' keys, as far as they are remembered. @internal */
  readonly keys: ReadonlySet<string>
}

/** Beyond this number of rows, `bulk` no longer remembers which ones it has queued, so as to keep memory flat. */
const remembered = 100_000

/**
 * Writes messages by hand: for writes that TypeORM says nothing about, and to index rows again.
 *
 * The two halves of a write: a *delay* message before it, which the Delayer re-queues when this process dies, and a
 * *queue* message after its commit. {@link bulk} does both around a callback.
 */
export class Producer {
  readonly #dataSource: DataSource
  readonly #definitions: readonly IndexDefinition[]
  readonly #writers: Writers
  readonly #subscriber: CaptureSubscriber
  readonly #describe: (error: unknown) => Error

  /** @internal Use `redstream.producer`. */
  constructor(
    dataSource: DataSource,
    definitions: readonly IndexDefinition[],
    writers: Writers,
    subscriber: CaptureSubscriber,
    describe: (error: unknown) => Error,
  ) {
    this.#dataSource = dataSource
    this.#definitions = definitions
    this.#writers = writers
    this.#subscriber = subscriber
    this.#describe = describe
  }

  /**
   * Adds rows to the main stream at once: call it after the commit.
   *
   * @throws RedstreamError REDIS_UNAVAILABLE, REDIS or ENTITY
   */
  async queue<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    rows: EntityOrId<E> | EntityOrId<E>[],
  ): Promise<void> {
    const definition = definitionOf(this.#dataSource, this.#definitions, entity)
    await this.#redis(this.#writer(definition).publish(messagesFor(definition, rows), 'main'))
  }

  /**
   * Writes delay messages for rows: call it before the commit. The Delayer re-queues them when they are due.
   *
   * @throws RedstreamError REDIS_UNAVAILABLE, REDIS or ENTITY
   */
  async delay<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    rows: EntityOrId<E> | EntityOrId<E>[],
  ): Promise<void> {
    const definition = definitionOf(this.#dataSource, this.#definitions, entity)
    await this.#redis(this.#writer(definition).delay(messagesFor(definition, rows)))
  }

  /**
   * Indexes rows again without a change of theirs (the gem's `after_touch`). With the manager of an open transaction,
   * after its commit; otherwise at once.
   *
   * @throws RedstreamError REDIS_UNAVAILABLE, REDIS or ENTITY
   */
  async touch<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    rows: EntityOrId<E> | EntityOrId<E>[],
    options: BulkOptions = {},
  ): Promise<void> {
    const queryRunner = options.manager?.queryRunner
    if (!queryRunner?.isTransactionActive) return this.queue(entity, rows)
    const definition = definitionOf(this.#dataSource, this.#definitions, entity)
    const transaction = this.#subscriber.transactionOf(queryRunner)
    for (const message of messagesFor(definition, rows)) transaction.record(definition, message)
    if (transaction.closing) await this.#redis(transaction.announced())
  }

  /**
   * Wraps a write that names no ids: notes every row that matches `where`, runs the callback, and queues the rows
   * that matched before or match now, in the bulk lane. When the callback writes inside a transaction, they are queued
   * after its commit, and not at all when it is rolled back. When this process dies in between, the Delayer re-queues
   * the rows noted before.
   *
   * Rows that another transaction makes match in the meantime are that transaction's business.
   *
   * @returns what the callback returns
   * @throws RedstreamError REDIS_UNAVAILABLE or REDIS; when the callback has run already, the rows noted before are
   * re-queued by the Delayer all the same
   */
  async bulk<E extends ObjectLiteral, T>(
    entity: EntityTarget<E>,
    where: Where<E>,
    callback: () => Promise<T>,
    options: BulkOptions = {},
  ): Promise<T> {
    const definition = definitionOf(this.#dataSource, this.#definitions, entity)
    const seen = new Set<string>()
    const delayed = await this.#delayMatching(definition, where, options, seen)
    const bulk = beginBulk(definition, activeRunner(options.manager))
    let result: T
    try {
      result = await runInBulk(this.#dataSource, bulk, callback)
    } catch (error) {
      // The callback may have written before it failed, so its rows are queued all the same.
      await this.#afterBulk(definition, where, options, bulk, delayed, seen).catch(() => undefined)
      throw error
    }
    await this.#afterBulk(definition, where, options, bulk, delayed, seen)
    return result
  }

  /**
   * The first half of {@link bulk}: delay messages for every row that matches.
   *
   * @throws RedstreamError REDIS_UNAVAILABLE, REDIS or ENTITY
   */
  async bulkDelay<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    where: Where<E>,
    options: BulkOptions = {},
  ): Promise<Delayed> {
    const definition = definitionOf(this.#dataSource, this.#definitions, entity)
    return this.#delayMatching(definition, where, options, new Set())
  }

  /**
   * The second half of {@link bulk}: queues every row that matches, in the bulk lane, and with `delayed` also those
   * that {@link bulkDelay} noted, whose delay messages it takes away.
   *
   * @returns the number of rows that match now
   * @throws RedstreamError REDIS_UNAVAILABLE, REDIS or ENTITY
   */
  async bulkQueue<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    where: Where<E>,
    options: BulkOptions & { delayed?: Delayed } = {},
  ): Promise<number> {
    const definition = definitionOf(this.#dataSource, this.#definitions, entity)
    const writer = this.#writer(definition)
    const { delayed } = options
    if (delayed !== undefined) await this.#redis(moveOrPublish(writer, delayed.entries, [delayed.keys]))
    return this.#queueMatching(definition, where, options.manager, new Set())
  }

  async #afterBulk<E extends ObjectLiteral>(
    definition: IndexDefinition,
    where: Where<E>,
    options: BulkOptions,
    bulk: RunningBulk,
    delayed: Delayed,
    seen: Set<string>,
  ): Promise<void> {
    const writer = this.#writer(definition)
    const { open, committed } = whereWritten(bulk)
    const [only, ...others] = open
    if (only === undefined) {
      await this.#redis(moveOrPublish(writer, delayed.entries, [seen]))
      await this.#queueMatching(definition, where, options.manager, seen)
      return
    }
    // Entries can be moved only once: where that would not do for all that was written, they stay for the Delayer.
    const shared = others.length > 0 || (committed && delayed.rows > seen.size)
    if (!shared) this.#subscriber.transactionOf(only).adopt(definition, delayed.entries, seen)
    if (committed) {
      await this.#redis(writer.publish(messagesOf(seen), 'bulk'))
      await this.#queueMatching(definition, where, options.manager, new Set(seen))
    }
    for (const queryRunner of open) {
      const { manager } = queryRunner
      const late = await this.#delayMatching(definition, where, { manager }, shared ? new Set() : seen)
      this.#subscriber.transactionOf(queryRunner).adopt(definition, late.entries, late.keys)
    }
  }

  /** Writes delay messages for the rows that match and are not in `seen`, which learns them. */
  async #delayMatching<E extends ObjectLiteral>(
    definition: IndexDefinition,
    where: Where<E>,
    options: BulkOptions,
    seen: Set<string>,
  ): Promise<Delayed> {
    const entries: DelayEntry[] = []
    let rows = 0
    for await (const page of matchingKeys(this.#dataSource, options.manager, definition, where)) {
      const messages = unseen(page, seen)
      entries.push(...(await this.#redis(this.#writer(definition).delay(messages))))
      rows += messages.length
    }
    return { rows, entries, keys: seen }
  }

  async #queueMatching<E extends ObjectLiteral>(
    definition: IndexDefinition,
    where: Where<E>,
    manager: EntityManager | undefined,
    seen: Set<string>,
  ): Promise<number> {
    let rows = 0
    for await (const page of matchingKeys(this.#dataSource, manager, definition, where)) {
      await this.#redis(this.#writer(definition).publish(unseen(page, seen), 'bulk'))
      rows += page.length
    }
    return rows
  }

  async #redis<T>(action: Promise<T>): Promise<T> {
    try {
      return await action
    } catch (error) {
      throw this.#describe(error)
    }
  }

  #writer(definition: IndexDefinition): StreamWriter {
    return this.#writers.get(definition)!
  }
}

/** Messages for the keys that are not in `seen`, which learns them as long as it is small. */
function unseen(keys: readonly string[], seen: Set<string>): Message[] {
  const messages = messagesOf(keys.filter((key) => !seen.has(key)))
  if (seen.size < remembered) for (const { id } of messages) seen.add(id)
  return messages
}

function messagesOf(keys: Iterable<string>): Message[] {
  return Array.from(keys, (id) => ({ id }))
}

function messagesFor<E extends ObjectLiteral>(
  definition: IndexDefinition,
  rows: EntityOrId<E> | EntityOrId<E>[],
): Message[] {
  return (Array.isArray(rows) ? rows : [rows]).map((row) => {
    const source = typeof row === 'object' && isComplete(row) ? { entity: row } : { entityId: row }
    const message = messageFor(definition, source)
    if (message === undefined) {
      throw new RedstreamError(
        'ENTITY',
        `${definition.metadata.name}: a row without its primary key cannot be queued`,
      )
    }
    return message
  })

  /** An entity, rather than a map that holds only its id: its payload can be made. */
  function isComplete(row: object): row is ObjectLiteral {
    return typeof definition.metadata.target === 'function' && row instanceof definition.metadata.target
  }
}

function activeRunner(manager: EntityManager | undefined): QueryRunner | undefined {
  return manager?.queryRunner?.isTransactionActive ? manager.queryRunner : undefined
}
