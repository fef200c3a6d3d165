import type {
  DataSource,
  EntityManager,
  EntityMetadata,
  EntityTarget,
  ObjectLiteral,
  QueryRunner,
} from 'typeorm'

import { definitionsOf } from '../definitions.ts'
import { RedstreamError } from '../errors.ts'
import type { StreamDefinition } from '../indexed.ts'
import type { Message } from '../streams/message.ts'
import type { DelayEntry, StreamWriter } from '../streams/stream-writer.ts'
import { beginBulk, runInBulk, whereWritten, type RunningBulk } from './bulk-context.ts'
import { messageFor } from './entity-message.ts'
import { matchingKeys, type Where } from './key-pages.ts'
import type { RowProgress } from './exact-writes.ts'
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

/** How far a `bulk` call has come. */
export interface BulkProgress extends RowProgress {
  /** `delay`: rows are noted before they are changed; `queue`: rows that match after that are queued. */
  readonly step: 'delay' | 'queue'
}

/** Options of calls that go over all rows that match. */
export interface MatchingOptions extends BulkOptions {
  /** Called after each page of up to 1,000 rows. An error that it throws ends the call. */
  onProgress?: (progress: BulkProgress) => void
}

/** The delay messages that {@link Producer.bulkDelay} wrote, for {@link Producer.bulkQueue} to take away again. */
export interface Delayed {
  /** Number of rows. */
  readonly rows: number
  /** For each index of the entity. @internal */
  readonly entries: ReadonlyMap<StreamDefinition, readonly DelayEntry[]>
  /** The rows' keys, as far as they are remembered. @internal */
  readonly keys: ReadonlySet<string>
}

/** An entity, and everything that its rows are indexed as. */
interface Scope {
  readonly metadata: EntityMetadata
  readonly definitions: readonly StreamDefinition[]
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
  readonly #definitions: readonly StreamDefinition[]
  readonly #writers: Writers
  readonly #subscriber: CaptureSubscriber
  readonly #describe: (error: unknown) => Error

  /** @internal Use `redstream.producer`. */
  constructor(
    dataSource: DataSource,
    definitions: readonly StreamDefinition[],
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
    const { definitions } = this.#scope(entity)
    await this.#each(definitions, (definition, writer) =>
      writer.publish(messagesFor(definition, rows), 'main'),
    )
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
    const { definitions } = this.#scope(entity)
    await this.#each(definitions, (definition, writer) => writer.delay(messagesFor(definition, rows)))
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
    const transaction = this.#subscriber.transactionOf(queryRunner)
    for (const definition of this.#scope(entity).definitions) {
      for (const message of messagesFor(definition, rows)) transaction.record(definition, message)
    }
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
    options: MatchingOptions = {},
  ): Promise<T> {
    const scope = this.#scope(entity)
    const seen = new Set<string>()
    const delayed = await this.#delayMatching(scope, where, options, seen)
    const bulk = beginBulk(scope.definitions, activeRunner(options.manager))
    let result: T
    try {
      result = await runInBulk(this.#dataSource, bulk, callback)
    } catch (error) {
      // The callback may have written before it failed, so its rows are queued all the same.
      await this.#afterBulk(scope, where, options, bulk, delayed, seen).catch(() => undefined)
      throw error
    }
    await this.#afterBulk(scope, where, options, bulk, delayed, seen)
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
    options: MatchingOptions = {},
  ): Promise<Delayed> {
    return this.#delayMatching(this.#scope(entity), where, options, new Set())
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
    options: MatchingOptions & { delayed?: Delayed } = {},
  ): Promise<number> {
    const scope = this.#scope(entity)
    const { delayed } = options
    if (delayed !== undefined) await this.#moveDelayed(delayed)
    return this.#queueMatching(scope, where, options, new Set())
  }

  async #afterBulk<E extends ObjectLiteral>(
    scope: Scope,
    where: Where<E>,
    options: MatchingOptions,
    bulk: RunningBulk,
    delayed: Delayed,
    seen: Set<string>,
  ): Promise<void> {
    const { open, committed } = whereWritten(bulk)
    const [only, ...others] = open
    if (only === undefined) {
      await this.#moveDelayed(delayed)
      await this.#queueMatching(scope, where, options, seen)
      return
    }
    // Entries can be moved only once: where that would not do for all that was written, they stay for the Delayer.
    const shared = others.length > 0 || (committed && delayed.rows > seen.size)
    if (!shared) this.#adopt(only, delayed)
    if (committed) {
      await this.#each(scope.definitions, (_, writer) => writer.publish(messagesOf(seen), 'bulk'))
      await this.#queueMatching(scope, where, options, new Set(seen))
    }
    for (const queryRunner of open) {
      const { manager } = queryRunner
      const inside = { ...options, manager }
      const late = await this.#delayMatching(scope, where, inside, shared ? new Set() : seen)
      this.#adopt(queryRunner, late)
    }
  }

  /** Writes delay messages for the rows that match and are not in `seen`, which learns them. */
  async #delayMatching<E extends ObjectLiteral>(
    scope: Scope,
    where: Where<E>,
    options: MatchingOptions,
    seen: Set<string>,
  ): Promise<Delayed> {
    const entries = new Map(scope.definitions.map((definition) => [definition, [] as DelayEntry[]]))
    let rows = 0
    for await (const page of matchingKeys(this.#dataSource, options.manager, scope, where)) {
      const messages = unseen(page, seen)
      await this.#each(scope.definitions, async (definition, writer) => {
        entries.get(definition)!.push(...(await writer.delay(messages)))
      })
      rows += messages.length
      options.onProgress?.({ rows, step: 'delay' })
    }
    return { rows, entries, keys: seen }
  }

  async #queueMatching<E extends ObjectLiteral>(
    scope: Scope,
    where: Where<E>,
    options: MatchingOptions,
    seen: Set<string>,
  ): Promise<number> {
    let rows = 0
    for await (const page of matchingKeys(this.#dataSource, options.manager, scope, where)) {
      const messages = unseen(page, seen)
      await this.#each(scope.definitions, (_, writer) => writer.publish(messages, 'bulk'))
      rows += page.length
      options.onProgress?.({ rows, step: 'queue' })
    }
    return rows
  }

  async #moveDelayed({ entries, keys }: Delayed): Promise<void> {
    await this.#each([...entries.keys()], (definition, writer) =>
      moveOrPublish(writer, entries.get(definition)!, [messagesOf(keys)]),
    )
  }

  #adopt(queryRunner: QueryRunner, { entries, keys }: Delayed): void {
    const transaction = this.#subscriber.transactionOf(queryRunner)
    for (const [definition, ofDefinition] of entries) transaction.adopt(definition, ofDefinition, keys)
  }

  #scope(entity: EntityTarget<ObjectLiteral>): Scope {
    const definitions = definitionsOf(this.#dataSource, this.#definitions, entity)
    return { metadata: this.#dataSource.getMetadata(entity), definitions }
  }

  /** Does the same for every index, side by side. */
  async #each(
    definitions: readonly StreamDefinition[],
    action: (definition: StreamDefinition, writer: StreamWriter) => Promise<unknown>,
  ): Promise<void> {
    try {
      await Promise.all(definitions.map((definition) => action(definition, this.#writers.get(definition)!)))
    } catch (error) {
      throw this.#describe(error)
    }
  }

  async #redis<T>(action: Promise<T>): Promise<T> {
    try {
      return await action
    } catch (error) {
      throw this.#describe(error)
    }
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

function activeRunner(manager: EntityManager | undefined): QueryRunner | undefined {
  return manager?.queryRunner?.isTransactionActive ? manager.queryRunner : undefined
}
