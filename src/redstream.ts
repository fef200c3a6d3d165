import type { DataSource, EntityTarget, ObjectLiteral, QueryDeepPartialEntity } from 'typeorm'

import { doNow } from './capture/afterwards.ts'
import { Capture } from './capture/capture.ts'
import type { WriteOptions, Written } from './capture/exact-writes.ts'
import type { Where } from './capture/key-pages.ts'
import type { BulkOptions, Delayed, EntityOrId, MatchingOptions } from './capture/matching.ts'
import type { Producer } from './capture/producer.ts'
import { StreamAccess } from './capture/stream-access.ts'
import type { Writers } from './capture/transaction-capture.ts'
import { resolveDefinitions } from './definitions.ts'
import { RedstreamError } from './errors.ts'
import { pause } from './runtime/backoff.ts'
import { Events } from './runtime/events.ts'
import type { Logger } from './runtime/logger.ts'
import { createLogger } from './runtime/pino-logger.ts'
import { settingsFrom, type Settings, type SettingsInput } from './runtime/settings.ts'
import { Attendance } from './streams/attendance.ts'
import type { BatchHandler } from './streams/batch.ts'
import { RedisConnections, type RedisConnection } from './streams/connection.ts'
import { Consumer } from './streams/consumer.ts'
import { createGroup } from './streams/group-member.ts'
import { Isolation } from './streams/isolation.ts'
import { inspectPartition, isDrained, type PartitionInspection } from './streams/inspect.ts'
import { auditGroup, nameProblem, ownGroups, partitionsOf, type Partition } from './streams/keys.ts'
import type { RedisClient } from './streams/scripts.ts'
import { StreamWriter, type WaitOptions } from './streams/stream-writer.ts'

/** Options of {@link Redstream.attach}: the settings of the configuration file, and how to reach Redis. */
export interface AttachOptions extends SettingsInput {
  /** Default: the environment's `REDIS_URL`. */
  redis?: RedisConnection
  /** Wait until so many replicas have a message, for at most so long. Default: do not wait. */
  wait?: WaitOptions
  /** Default: warnings and errors as JSON on stderr. */
  logger?: Logger
}

/** A consumer that {@link Redstream.consume} has started. */
export interface RunningConsumer {
  /** Finishes the batches in flight and leaves the group. */
  stop(): Promise<void>
}

const attached = new WeakSet<DataSource>()

/** The application's side of Redstream: it hears of every write of a DataSource and publishes the ids. */
export class Redstream {
  /** Writes messages by hand. */
  readonly producer: Producer
  /** What happens, for those who count it: `published`, `publishFailed`, `uncaptured`, and what its consumers do. */
  readonly events: Events
  readonly #dataSource: DataSource
  readonly #capture: Capture
  readonly #streams: StreamAccess
  readonly #settings: Settings
  readonly #logger: Logger
  readonly #consumers = new Set<RunningConsumer>()
  readonly #isolation = new Isolation()

  private constructor(dataSource: DataSource, options: AttachOptions) {
    this.#dataSource = dataSource
    const { redis, wait, logger = createLogger({ level: 'warn' }), ...input } = options
    const settings = settingsFrom(input)
    this.#settings = settings
    this.#logger = logger
    this.events = new Events(logger)
    this.#streams = new StreamAccess(
      () => new RedisConnections(redisFrom(redis), settings.redisTimeoutMs, logger),
      ({ commands }) => this.#writers(commands, wait),
    )
    this.#capture = new Capture({
      dataSource,
      indexes: resolveDefinitions(dataSource),
      streams: this.#streams,
      settings,
      events: this.events,
      logger,
    })
    this.producer = this.#capture.producer
  }

  /**
   * Starts to publish the writes of an initialized DataSource. Call it once, after `dataSource.initialize()`. When no
   * entity has `capture` "subscriber", it does without Redis until something is called that needs it.
   *
   * @throws RedstreamError CONFIG for wrong options, ENTITY when no entity is indexed, DATABASE when the outbox is needed
   * and missing, and with `onUnavailable: 'reject'` REDIS_UNAVAILABLE or REDIS when Redis is needed and does not answer
   */
  static async attach(dataSource: DataSource, options: AttachOptions = {}): Promise<Redstream> {
    if (!dataSource.isInitialized) {
      // `initialize()` replaces the list of subscribers: one that was added before would hear nothing.
      throw new RedstreamError(
        'CONFIG',
        'Redstream.attach needs an initialized DataSource: await dataSource.initialize() first',
      )
    }
    if (attached.has(dataSource)) {
      throw new RedstreamError(
        'CONFIG',
        'Redstream is attached to this DataSource already; close() the other one first',
      )
    }
    const redstream = new Redstream(dataSource, options)
    // Before the first `await`: another call may come in between.
    attached.add(dataSource)
    try {
      if (redstream.#capture.needsRedis) await redstream.#checkRedis()
      await redstream.#capture.attach()
    } catch (error) {
      attached.delete(dataSource)
      await redstream.#streams.close()
      throw error
    }
    return redstream
  }

  async #checkRedis(): Promise<void> {
    try {
      await this.#streams.connections.check()
    } catch (error) {
      if (this.#settings.onUnavailable === 'reject') throw error
      this.#logger.warn(
        { err: error },
        'Redis does not answer yet (onUnavailable "accept"): changes may be missed',
      )
    }
  }

  /**
   * Changes all rows that match, and knows exactly which ones: also those that another transaction makes match at the
   * last moment. In one transaction, with delay messages before its commit.
   *
   * @param where - as in `find({ where })`, relations included: `{ country: { code: 'FR' } }`
   * @param set - as in TypeORM's `update`: values, or SQL expressions as `() => 'population + 1'`
   * @throws RedstreamError USAGE when a condition is empty, `null` or `undefined`, or when `set` holds a primary key;
   * ENTITY when the entity is not indexed; REDIS_UNAVAILABLE or REDIS before the commit
   */
  update<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    where: Where<E>,
    set: QueryDeepPartialEntity<E>,
    options?: WriteOptions,
  ): Promise<Written> {
    return this.#capture.exactWrites.update(entity, where, set, options)
  }

  /**
   * Deletes all rows that match, like {@link update}. What the database deletes or changes with them (`onDelete:
   * 'CASCADE'`, `'SET NULL'`) is captured too.
   *
   * @throws RedstreamError as {@link update}
   */
  delete<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    where: Where<E>,
    options?: WriteOptions,
  ): Promise<Written> {
    return this.#capture.exactWrites.delete(entity, where, options)
  }

  /**
   * Inserts rows in one transaction, with delay messages before its commit. Keys that the database makes are set in the
   * given objects, as by TypeORM's `insert`; on databases that do not return them, the rows are inserted one by one.
   *
   * @throws RedstreamError ENTITY when the entity is not indexed, or when the database makes keys and does not tell
   * them; REDIS_UNAVAILABLE or REDIS before the commit
   */
  insert<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    values: QueryDeepPartialEntity<E> | QueryDeepPartialEntity<E>[],
    options?: WriteOptions,
  ): Promise<Written> {
    return this.#capture.exactWrites.insert(entity, values, options)
  }

  /** See {@link Producer.bulk}. */
  bulk<E extends ObjectLiteral, T>(
    entity: EntityTarget<E>,
    where: Where<E>,
    callback: () => Promise<T>,
    options?: MatchingOptions,
  ): Promise<T> {
    return this.producer.bulk(entity, where, callback, options)
  }

  /** See {@link Producer.bulkDelay}. */
  bulkDelay<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    where: Where<E>,
    options?: MatchingOptions,
  ): Promise<Delayed> {
    return this.producer.bulkDelay(entity, where, options)
  }

  /** See {@link Producer.bulkQueue}. */
  bulkQueue<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    where: Where<E>,
    options?: MatchingOptions & { delayed?: Delayed },
  ): Promise<number> {
    return this.producer.bulkQueue(entity, where, options)
  }

  /** See {@link Producer.touch}. */
  touch<E extends ObjectLiteral>(
    entity: EntityTarget<E>,
    rows: EntityOrId<E> | EntityOrId<E>[],
    options?: BulkOptions,
  ): Promise<void> {
    return this.producer.touch(entity, rows, options)
  }

  /**
   * Starts a consumer group of your own on a stream, for instance to keep a cache in step. The group gets everything
   * that is in the stream when it is made. A batch is acknowledged when the handler resolves; when it rejects, the
   * batch is tried again after a pause, for ever.
   *
   * @param stream - name of the stream (default: that of the index)
   * @param group - name of the group; processes that use the same name share its work
   * @throws RedstreamError ENTITY when there is no such stream, CONFIG for a wrong group, REDIS when Redis refuses it
   */
  async consume(stream: string, group: string, handler: BatchHandler): Promise<RunningConsumer> {
    const isOwn = group === auditGroup || ownGroups.includes(group)
    const problem = isOwn ? "is one of Redstream's own" : nameProblem(group)
    if (problem !== undefined) throw new RedstreamError('CONFIG', `the group name "${group}" ${problem}`)
    const { partitions } = this.#stream(stream)
    try {
      for (const partition of partitions)
        await createGroup(this.#streams.connections.commands, partition, group)
    } catch (error) {
      throw this.#streams.connections.describe(error)
    }
    const stopping = new AbortController()
    const runs = partitions.map((partition) => this.#serve(partition, group, handler, stopping.signal))
    const running: RunningConsumer = {
      stop: async () => {
        stopping.abort()
        await Promise.all(runs)
        this.#consumers.delete(running)
      },
    }
    this.#consumers.add(running)
    return running
  }

  /** Works for a group of the user's until `signal` aborts, and notes meanwhile that it is served. */
  async #serve(
    partition: Partition,
    group: string,
    handler: BatchHandler,
    signal: AbortSignal,
  ): Promise<void> {
    const consumer = new Consumer({
      ...this.#settings,
      connections: this.#streams.connections,
      partition,
      group,
      handler,
      isolation: this.#isolation,
      events: this.events,
      logger: this.#logger,
    })
    const attendance = new Attendance(this.#streams.connections.commands, partition, group, this.#logger)
    await attendance.start()
    await consumer.run(signal)
    await attendance.stop()
  }

  /**
   * Resolves when the outbox is empty, if there is one, and every group of every stream has nothing left: for tests and
   * scripts. Delay messages do not count: they stand for transactions that are open, or whose process died.
   *
   * @param options.timeout - in ms. Default: 30,000
   * @throws RedstreamError TIMEOUT, naming the streams that are not drained
   */
  async drained(options: { timeout?: number } = {}): Promise<void> {
    const { timeout = 30_000 } = options
    const { outbox, cascading, definitions } = this.#capture
    await this.#capture.settled()
    const end = performance.now() + timeout
    for (;;) {
      const left = new Set<string>()
      // A relay removes rows from it when they are in the streams.
      if (outbox !== undefined && !(await outbox.isEmpty())) left.add(`the outbox (${outbox.table.path})`)
      // First what queues rows elsewhere: once all of that is done, it adds nothing to what is looked at after it. An
      // entity may be on both sides, so its stream is looked at twice.
      for (const definition of [...cascading, ...definitions]) {
        const { partitions } = this.#streams.writerOf(definition)
        if (!(await isDrained(this.#streams.connections.commands, partitions))) left.add(definition.stream)
      }
      if (left.size === 0) return
      if (performance.now() > end) {
        throw new RedstreamError(
          'TIMEOUT',
          `not drained after ${timeout} ms: ${[...left].join(', ')}; is a consumer running for each group${outbox === undefined ? '' : ', and a relay'}?`,
        )
      }
      await pause(20)
    }
  }

  /**
   * Length, newest id, and how far each group is, per partition and lane of a stream.
   *
   * @throws RedstreamError ENTITY when there is no such stream
   */
  async inspect(stream: string): Promise<PartitionInspection[]> {
    const { partitions } = this.#stream(stream)
    // What was committed before the call is sent before its questions.
    doNow()
    return Promise.all(
      partitions.map((partition) => inspectPartition(this.#streams.connections.commands, partition)),
    )
  }

  /**
   * Stops to publish: waits for the transactions that are open (at most `redisTimeout`), stops the consumers, closes the
   * connections. Writes that begin after the call may not be seen any more, so stop what writes first.
   */
  async close(): Promise<void> {
    const open = await this.#capture.detach(this.#settings.redisTimeoutMs)
    if (open > 0) {
      this.#logger.warn(
        { transactions: open },
        'closed while transactions were open: what they change from now on is not published; run `redstream verify NAME --repair`',
      )
    }
    attached.delete(this.#dataSource)
    await Promise.all([...this.#consumers].map((consumer) => consumer.stop()))
    await this.#capture.settled()
    await this.#streams.close()
  }

  #writers(commands: RedisClient, wait: WaitOptions | undefined): Writers {
    const { namespace } = this.#settings
    return new Map(
      this.#capture.definitions.map((definition) => {
        const partitions = partitionsOf(namespace, definition.stream, definition.partitions)
        return [definition, new StreamWriter(commands, partitions, wait, this.events)]
      }),
    )
  }

  #stream(name: string): StreamWriter {
    const definition = this.#capture.definitions.find((candidate) => candidate.stream === name)
    if (definition === undefined) {
      const known = this.#capture.definitions.map(({ stream }) => stream).join(', ')
      throw new RedstreamError('ENTITY', `there is no stream "${name}"; the indexed entities have: ${known}`)
    }
    return this.#streams.writerOf(definition)
  }
}

function redisFrom(redis: RedisConnection | undefined): RedisConnection {
  const connection = redis ?? process.env['REDIS_URL']
  if (connection === undefined || connection === '') {
    throw new RedstreamError('CONFIG', 'no Redis given: pass `redis` to Redstream.attach, or set REDIS_URL')
  }
  return connection
}
