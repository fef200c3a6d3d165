import { captureModes } from '../capture/modes.ts'
import { capturedBy, captureModesOf } from '../capture/stream-modes.ts'
import { watchedBy } from '../capture/watched-by.ts'
import { Cascader } from '../cascade/cascader.ts'
import { cascadeGroup, cascadeSources } from '../cascade/streams.ts'
import { EntryReader } from '../outbox/entry-reader.ts'
import { TableChanges } from '../outbox/table-changes.ts'
import { OutboxTable } from '../outbox/outbox-table.ts'
import { OutboxQueue } from '../outbox/queue.ts'
import { Relay } from '../outbox/relay.ts'
import { ReindexWorker } from '../reindex/reindex-worker.ts'
import { Reindexer } from '../reindex/reindexer.ts'
import type { Events } from '../runtime/events.ts'
import type { Worker, WorkerKind } from '../runtime/worker.ts'
import type { BatchHandler } from '../streams/batch.ts'
import type { RedisConnections } from '../streams/connection.ts'
import { Consumer } from '../streams/consumer.ts'
import { Delayer } from '../streams/delayer.ts'
import { Isolation } from '../streams/isolation.ts'
import type { TransactionStates } from '../streams/transaction.ts'
import { Trimmer } from '../streams/trimmer.ts'
import { Follower } from '../wal/follower.ts'
import type { LogSite } from '../wal/site.ts'
import { Indexer, indexGroup } from './indexer.ts'
import { Letters } from './letters.ts'
import type { IndexSite } from './site.ts'
import { cascadesTo, indexedSources, writersOf, type IndexedSource, type Source } from './sources.ts'
import { PostgresTransactionStates } from './transaction-states.ts'

export interface WorkerFactoryOptions extends Omit<
  IndexSite,
  'definition' | 'partitions' | 'cascades' | 'outbox'
> {
  readonly connections: RedisConnections
  readonly sources: readonly Source[]
  readonly events: Events
}

/**
 * How many batches a consumer of an index holds. So many requests may be in flight, and meanwhile others take a ticket,
 * read their rows or are acknowledged; one place is kept for the main lane (`streams/claim-policy.ts`). A single one is
 * a wish for one after the other.
 *
 * @param concurrency - bulk requests in flight
 */
export function batchesHeld(concurrency: number): number {
  return concurrency === 1 ? 1 : concurrency + Math.floor(concurrency / 2) + 1
}

/** Makes the workers of a process. */
export class WorkerFactory {
  readonly #options: WorkerFactoryOptions
  readonly #isolation = new Isolation()

  constructor(options: WorkerFactoryOptions) {
    this.#options = options
  }

  /** The workers of some streams; those that serve all streams are there once. */
  workers(kind: WorkerKind, sources: readonly Source[]): Worker[] {
    switch (kind) {
      case 'relay':
        return [this.#relay()]
      case 'follower':
        // It follows the database, which may have nothing to tell: see `follower`.
        return []
      default:
        return sources.flatMap((source) => this.#ofSource(kind, source))
    }
  }

  #ofSource(kind: Exclude<WorkerKind, 'relay' | 'follower'>, source: Source): Worker[] {
    const { settings, redis, events, logger } = this.#options
    const { partitions, groups } = source
    const { namespace, delayMs, retentionMs, trimIntervalMs: intervalMs, dropGroupAfterMs } = settings
    const common = { redis, namespace, partitions, events, logger }
    switch (kind) {
      case 'consumer':
        return [
          ...(source.index === undefined ? [] : this.#indexing({ ...source, index: source.index })),
          ...(source.paths.length === 0 ? [] : this.#cascading(source)),
        ]
      case 'delayer':
        return [new Delayer({ ...common, delayMs, transactions: this.#transactions() })]
      case 'trimmer':
        return [new Trimmer({ ...common, groups, retentionMs, intervalMs, dropGroupAfterMs })]
    }
  }

  /** The worker that feeds streams from the log of the database. */
  follower(site: LogSite): Worker {
    const { redis, sources, client, events } = this.#options
    return new Follower({ site, client, events, writers: writersOf(redis, sources, events) })
  }

  /** An index and all that its documents depend on. */
  site({ index: definition, partitions }: IndexedSource): IndexSite {
    const { sources, dataSource, redis, client, settings, services, logger } = this.#options
    const cascades = cascadesTo(sources, definition)
    const indexes = indexedSources(sources).map(({ index }) => index)
    const modes = captureModesOf(indexes, cascadeSources(indexes), settings.capture)
    const outbox = capturedBy(modes, ['outbox', 'trigger']).length > 0 ? this.#outboxQueue() : undefined
    return { definition, partitions, cascades, outbox, dataSource, redis, client, settings, services, logger }
  }

  reindexer(source: IndexedSource): Reindexer {
    const { redis, connections } = this.#options
    const letters = new Letters(redis, [source])
    return new Reindexer({
      ...this.site(source),
      connections,
      retryLetters: async () => letters.retry(await letters.list({})),
    })
  }

  #outboxQueue(): OutboxQueue {
    const { dataSource, settings } = this.#options
    return new OutboxQueue(new OutboxTable(dataSource, settings.captureSchema))
  }

  #relay(): Worker {
    const { dataSource, settings, sources, redis, connections, events, logger } = this.#options
    const { namespace, relayPollMs: pollMs, stallAfterMs: heldMs } = settings
    const queue = this.#outboxQueue()
    const indexes = indexedSources(sources).map(({ index }) => index)
    // Of every table: what triggers wrote under a former mode is still to be read.
    const cascade = sources.filter(({ paths }) => paths.length > 0)
    const { tables, messages } = watchedBy(captureModes, dataSource, indexes, settings.capture, cascade)
    const reader = new EntryReader(
      sources.map(({ definition }) => definition),
      new TableChanges(dataSource, tables),
      messages,
    )
    const writers = writersOf(redis, sources, events)
    return new Relay({ queue, reader, writers, connections, namespace, pollMs, heldMs, events, logger })
  }

  #transactions(): TransactionStates | undefined {
    const { settings, dataSource, logger } = this.#options
    return settings.ask === 'on' ? PostgresTransactionStates.of(dataSource, logger) : undefined
  }

  #indexing(source: IndexedSource): Worker[] {
    const { settings, logger } = this.#options
    const { stream } = source.index
    const indexer = new Indexer({ ...settings, ...this.#options, definition: source.index })
    const hands = Math.ceil(settings.concurrency / 2)
    return [
      ...this.#consumers(source, indexGroup, indexer.handle, batchesHeld(settings.concurrency)),
      new ReindexWorker({ reindexer: this.reindexer(source), stream, hands, logger }),
    ]
  }

  #cascading(source: Source): Worker[] {
    const { redis, sources, events } = this.#options
    const writers = writersOf(redis, sources, events)
    const cascader = new Cascader({ ...this.#options, paths: source.paths, writers })
    return this.#consumers(source, cascadeGroup, cascader.handle)
  }

  #consumers(
    { partitions }: Source,
    group: string,
    handler: BatchHandler,
    concurrency = this.#options.settings.concurrency,
  ): Worker[] {
    const { settings, connections, events, logger } = this.#options
    const common = { ...settings, concurrency, connections, isolation: this.#isolation, events, logger }
    return partitions.map((partition) => new Consumer({ ...common, partition, group, handler }))
  }
}
