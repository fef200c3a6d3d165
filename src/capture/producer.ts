import type { DataSource, EntityTarget, ObjectLiteral } from 'typeorm'

import { definitionsOf } from '../definitions.ts'
import { RedstreamError } from '../errors.ts'
import type { StreamDefinition } from '../indexed.ts'
import type { Message } from '../streams/message.ts'
import { activeRunner, beginBulk, runInBulk, whereWritten } from './bulk-context.ts'
import { messageFor } from './entity-message.ts'
import type { Where } from './key-pages.ts'
import type { BulkOptions, Delayed, EntityOrId, MatchingOptions, Scope } from './matching.ts'
import type { CaptureMode } from './modes.ts'
import type { CaptureModes } from './stream-modes.ts'
import type { CarrierOf } from './open-transaction.ts'
import { needsTransaction, type OutboxBulk } from './outbox-bulk.ts'
import type { RedisBulk } from './redis-bulk.ts'
import type { StreamAccess } from './stream-access.ts'
import type { Transactions } from './transactions.ts'

export type { BulkOptions, BulkProgress, Delayed, EntityOrId, MatchingOptions } from './matching.ts'

/** What a {@link Producer} works with. */
export interface ProducerOptions {
  readonly dataSource: DataSource
  readonly modes: CaptureModes
  readonly carrierOf: CarrierOf
  readonly transactions: Transactions
  readonly streams: StreamAccess
  readonly redisBulk: RedisBulk
  /** When some stream goes through the outbox. */
  readonly outboxBulk: OutboxBulk | undefined
}

/**
 * Writes messages by hand: for writes that TypeORM says nothing about, and to index rows again.
 *
 * The two halves of a write: a *delay* message before it, which the Delayer re-queues when this process dies, and a
 * *queue* message after its commit. {@link bulk} does both around a callback.
 *
 * What an entity needs depends on who captures its changes. With `outbox`, messages go through the outbox, and what is
 * noted before a commit must be noted in its transaction. With `trigger` and `wal` the database tells of every change by
 * itself: nothing is noted before a write, and only what is asked for without a change (`queue`, `touch`, `bulkQueue`)
 * goes to Redis.
 */
export class Producer {
  readonly #options: ProducerOptions

  /** @internal Use `redstream.producer`. */
  constructor(options: ProducerOptions) {
    this.#options = options
  }

  /**
   * Queues rows at once: call it after the commit.
   *
   * @throws RedstreamError REDIS_UNAVAILABLE, REDIS, DATABASE or ENTITY
   */
  async queue<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    rows: EntityOrId<E> | EntityOrId<E>[],
  ): Promise<void> {
    const { carrierOf } = this.#options
    const { definitions } = this.#scope(entity)
    await Promise.all(
      definitions.map((definition) =>
        carrierOf(definition).queue(definition, messagesFor(definition, rows), 'main'),
      ),
    )
  }

  /**
   * Writes delay messages for rows: call it before the commit. The Delayer re-queues them when they are due. Not for
   * entities that go through the outbox: {@link touch} them with the manager of the transaction.
   *
   * @throws RedstreamError REDIS_UNAVAILABLE, REDIS or ENTITY; USAGE for entities that go through the outbox
   */
  async delay<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    rows: EntityOrId<E> | EntityOrId<E>[],
  ): Promise<void> {
    const { streams } = this.#options
    const scope = this.#scope(entity)
    if (this.#part(scope, 'outbox') !== undefined) throw needsTransaction(scope)
    const definitions = this.#part(scope, 'subscriber')?.definitions ?? []
    try {
      await Promise.all(
        definitions.map((definition) => streams.writerOf(definition).delay(messagesFor(definition, rows))),
      )
    } catch (error) {
      throw streams.connections.describe(error)
    }
  }

  /**
   * Indexes rows again without a change of theirs (the gem's `after_touch`). With the manager of an open transaction,
   * after its commit; otherwise at once.
   *
   * @throws RedstreamError REDIS_UNAVAILABLE, REDIS, DATABASE or ENTITY
   */
  async touch<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    rows: EntityOrId<E> | EntityOrId<E>[],
    options: BulkOptions = {},
  ): Promise<void> {
    const queryRunner = activeRunner(options.manager)
    if (queryRunner === undefined) return this.queue(entity, rows)
    const transaction = this.#options.transactions.of(queryRunner)
    for (const definition of this.#scope(entity).definitions) {
      for (const message of messagesFor(definition, rows)) transaction.record(definition, message)
    }
    await transaction.caughtUp()
  }

  /**
   * Wraps a write that names no ids: notes every row that matches `where`, runs the callback, and queues the rows
   * that matched before or match now, in the bulk lane. When the callback writes inside a transaction, they are queued
   * after its commit, and not at all when it is rolled back. When this process dies in between, the Delayer re-queues
   * the rows noted before.
   *
   * Rows that another transaction makes match in the meantime are that transaction's business.
   *
   * Through the outbox, what TypeORM tells of is captured besides, and the rows that match go into the outbox: with the
   * `manager` of the transaction in it, else after the callback, and a process that dies in between loses those of raw
   * SQL. With `trigger` and `wal`, the callback is all.
   *
   * @returns what the callback returns
   * @throws RedstreamError REDIS_UNAVAILABLE or REDIS; when the callback has run already, the rows noted before are
   * re-queued by the Delayer all the same
   */
  async bulk<E extends ObjectLiteral, T>(
    entity: EntityTarget<E>,
    where: Where<E>,
    callback: () => Promise<T>,
    options: MatchingOptions = {},
  ): Promise<T> {
    const { dataSource, redisBulk, outboxBulk } = this.#options
    const scope = this.#scope(entity)
    const direct = this.#part(scope, 'subscriber')
    const boxed = this.#part(scope, 'outbox')
    const seen = new Set<string>()
    const delayed = direct && (await redisBulk.delay(direct, where, options, seen))
    const noted = boxed && (await outboxBulk?.note(boxed, where, options))
    const bulk = beginBulk(direct?.definitions ?? [], activeRunner(options.manager))
    const queueWritten = async (): Promise<void> => {
      const written = whereWritten(bulk)
      if (direct && delayed) await redisBulk.queueWritten(direct, where, options, written, delayed, seen)
      if (boxed && noted) await outboxBulk?.queueWritten(boxed, where, options, written, noted)
    }
    let result: T
    try {
      result = await runInBulk(dataSource, bulk, callback)
    } catch (error) {
      // The callback may have written before it failed, so its rows are queued all the same.
      await queueWritten().catch(() => undefined)
      throw error
    }
    await queueWritten()
    return result
  }

  /**
   * The first half of {@link bulk}: delay messages for every row that matches. Through the outbox it needs the `manager`
   * of the transaction that writes, and is all that is needed.
   *
   * @throws RedstreamError REDIS_UNAVAILABLE, REDIS, DATABASE or ENTITY; USAGE for entities that go through the outbox,
   * without the manager of an open transaction
   */
  async bulkDelay<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    where: Where<E>,
    options: MatchingOptions = {},
  ): Promise<Delayed> {
    const { redisBulk, outboxBulk } = this.#options
    const scope = this.#scope(entity)
    const direct = this.#part(scope, 'subscriber')
    const boxed = this.#part(scope, 'outbox')
    const rows = (boxed && (await outboxBulk?.noteInside(boxed, where, options))) ?? 0
    return direct === undefined
      ? { rows, entries: new Map(), keys: new Set() }
      : redisBulk.delay(direct, where, options, new Set())
  }

  /**
   * The second half of {@link bulk}: queues every row that matches, in the bulk lane, and with `delayed` also those
   * that {@link bulkDelay} noted, whose delay messages it takes away.
   *
   * @returns the number of rows that match now
   * @throws RedstreamError REDIS_UNAVAILABLE, REDIS, DATABASE or ENTITY
   */
  async bulkQueue<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    where: Where<E>,
    options: MatchingOptions & { delayed?: Delayed } = {},
  ): Promise<number> {
    const { redisBulk, outboxBulk } = this.#options
    const scope = this.#scope(entity)
    const { delayed } = options
    if (delayed !== undefined && delayed.entries.size > 0) await redisBulk.moveDelayed(delayed)
    const boxed = this.#part(scope, 'outbox')
    const others = this.#part(scope, 'subscriber', 'trigger', 'wal')
    const inOutbox = (boxed && (await outboxBulk?.queue(boxed, where, options))) ?? 0
    const inRedis = (others && (await redisBulk.queue(others, where, options, new Set()))) ?? 0
    return Math.max(inOutbox, inRedis)
  }

  #scope(entity: EntityTarget<ObjectLiteral>): Scope {
    const { dataSource, modes } = this.#options
    const definitions = definitionsOf(dataSource, [...modes.keys()], entity)
    return { metadata: dataSource.getMetadata(entity), definitions }
  }

  /** What of a scope some modes capture; undefined when that is nothing. */
  #part({ metadata, definitions }: Scope, ...wanted: CaptureMode[]): Scope | undefined {
    const { modes } = this.#options
    const part = definitions.filter((definition) => wanted.includes(modes.get(definition)!))
    return part.length === 0 ? undefined : { metadata, definitions: part }
  }
}

function messagesFor<E extends ObjectLiteral>(
  definition: StreamDefinition,
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
