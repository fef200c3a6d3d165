import type { Client, ClientOptions } from '@elastic/elasticsearch'
import type { DataSource } from 'typeorm'

import { Cascader } from '../cascade/cascader.ts'
import { explainPaths, pathsNamed, type ExplainedPath } from '../cascade/explain.ts'
import { cascadeGroup } from '../cascade/streams.ts'
import { resolveDefinitions } from '../definitions.ts'
import { RedstreamError, isRedstreamError } from '../errors.ts'
import type { Services } from '../indexed.ts'
import { checkElasticsearch, connectElasticsearch } from '../indexing/elasticsearch-connection.ts'
import { currentTargets, initIndexes, type InitReport } from '../indexing/index-schema.ts'
import { Events } from '../runtime/events.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Settings } from '../runtime/settings.ts'
import type { Worker, WorkerKind } from '../runtime/worker.ts'
import type { BatchHandler } from '../streams/batch.ts'
import { RedisConnections, type RedisConnection } from '../streams/connection.ts'
import { Consumer } from '../streams/consumer.ts'
import { Delayer } from '../streams/delayer.ts'
import { deadLetters, discardLetters, type DeadLetter, type LetterFilter } from '../streams/dead-letters.ts'
import { createGroup } from '../streams/group-member.ts'
import { Isolation } from '../streams/isolation.ts'
import { streamStatus, workerStatus, type StreamStatus, type WorkerStatus } from '../streams/inspect.ts'
import type { Partition } from '../streams/keys.ts'
import { StreamWriter } from '../streams/stream-writer.ts'
import { Trimmer } from '../streams/trimmer.ts'
import { Indexer, indexGroup } from './indexer.ts'
import { hearConnectionErrors } from './postgres-pool.ts'
import { checkRelations } from './relation-tree.ts'
import { sourcesOf, writersOf, type Source } from './sources.ts'

/** How to reach Elasticsearch: a URL, options of the client (TLS, basic auth, API key), or a client of your own. */
export type ElasticsearchConnection = string | ClientOptions | Client

/** The configuration after files, flags and environment are put together. */
export interface ResolvedConfig {
  readonly dataSource: DataSource
  readonly redis: RedisConnection
  readonly elasticsearch: ElasticsearchConnection
  readonly settings: Settings
  /** For `document()`. Default: none. */
  readonly services?: Services | (() => Services | Promise<Services>) | undefined
}

/** What `redstream status --json` prints. */
export interface Status {
  streams: StreamStatus[]
  workers: WorkerStatus[]
}

/** Everything that the command line needs of the sync: it owns the connections until `close`. */
export interface Pipeline {
  /** What the workers tell; nobody listens unless somebody asks for metrics. */
  readonly events: Events
  /**
   * The workers of the given kinds; `streams` limits them to some streams.
   *
   * @throws RedstreamError USAGE when there is no such stream
   */
  workers(kinds: readonly WorkerKind[], streams?: readonly string[]): Worker[]
  /** Creates what is missing: indices, aliases, consumer groups, and the list of write targets. */
  init(): Promise<InitReport>
  status(): Promise<Status>
  /**
   * What changes of other tables lead to the documents of an index, or where those of a table lead.
   *
   * @param name - of an index, an entity or a table
   * @throws RedstreamError USAGE when there is nothing of that name
   */
  explainCascade(name: string): ExplainedPath[]
  /**
   * Asks Redis for an answer.
   *
   * @throws RedstreamError REDIS_UNAVAILABLE or REDIS
   */
  check(): Promise<void>
  /**
   * The dead letters that fit, newest failure first.
   *
   * @throws RedstreamError USAGE when there is no such stream
   */
  deadLetters(selection: LetterSelection): Promise<DeadLetter[]>
  /** Queues the rows of letters again, in the bulk lane; a letter goes when its row is indexed. */
  retryLetters(letters: readonly DeadLetter[]): Promise<void>
  /** Forgets letters without indexing their rows; returns how many there were. */
  discardLetters(letters: readonly DeadLetter[]): Promise<number>
  close(): Promise<void>
}

/** Which dead letters of which streams. */
export interface LetterSelection extends LetterFilter {
  readonly streams?: readonly string[] | undefined
}

/** Which servers must answer when the pipeline opens. */
export interface PipelineNeeds {
  /** False for what only looks at the streams: it is needed most while Elasticsearch is away. */
  readonly elasticsearch: boolean
  /** False for what looks at the definitions alone. Default: true. */
  readonly redis?: boolean
}

/**
 * Connects to the database, Redis and Elasticsearch.
 *
 * @param needs - which servers must answer now. Default: all of them
 * @throws RedstreamError DATABASE, REDIS, REDIS_UNAVAILABLE, ELASTICSEARCH, ELASTICSEARCH_UNAVAILABLE or ENTITY
 */
export async function openPipeline(
  config: ResolvedConfig,
  logger: Logger,
  needs: PipelineNeeds = { elasticsearch: true },
): Promise<Pipeline> {
  const { dataSource, settings } = config
  const initializedHere = await initialize(dataSource)
  hearConnectionErrors(dataSource, logger)
  const connections = new RedisConnections(config.redis, settings.redisTimeoutMs, logger)
  const elasticsearch = connectElasticsearch(config.elasticsearch, {
    requestTimeoutMs: settings.requestTimeoutMs,
  })
  const close = async (): Promise<void> => {
    await connections.close()
    if (elasticsearch.owned) await elasticsearch.client.close()
    if (initializedHere) await dataSource.destroy()
  }
  try {
    const definitions = resolveDefinitions(dataSource)
    definitions.forEach(checkRelations)
    await Promise.all([
      needs.redis !== false && connections.check(),
      needs.elasticsearch && checkElasticsearch(elasticsearch.client),
    ])
    const sources = sourcesOf(settings.namespace, definitions)
    return new OpenPipeline({ config, logger, connections, client: elasticsearch.client, sources, close })
  } catch (error) {
    await close()
    throw error
  }
}

interface Parts {
  readonly config: ResolvedConfig
  readonly logger: Logger
  readonly connections: RedisConnections
  readonly client: Client
  readonly sources: readonly Source[]
  readonly close: () => Promise<void>
}

class OpenPipeline implements Pipeline {
  readonly events: Events
  readonly #parts: Parts
  readonly #isolation = new Isolation()
  #services: Promise<Services> | undefined

  constructor(parts: Parts) {
    this.#parts = parts
    this.events = new Events(parts.logger)
  }

  workers(kinds: readonly WorkerKind[], streams?: readonly string[]): Worker[] {
    const sources = this.#select(streams)
    return kinds.flatMap((kind) => sources.flatMap((source) => this.#workersOf(kind, source)))
  }

  async init(): Promise<InitReport> {
    const { client, connections, config, sources } = this.#parts
    const { ticketMaxAgeMs } = config.settings
    const indexes = sources.flatMap(({ index }) => index ?? [])
    const report = await initIndexes(client, indexes, { ticketMaxAgeMs })
    for (const { index, groups, partitions } of sources) {
      const targets = index === undefined ? [] : await currentTargets(client, index)
      for (const partition of partitions) {
        for (const group of groups) await createGroup(connections.commands, partition, group)
        if (targets.length > 0) await connections.commands.sadd(partition.keys.targets, ...targets)
        await this.#forgetGoneTargets(partition)
      }
    }
    return report
  }

  /** An index that was deleted by hand would otherwise be written to for ever, in vain. */
  async #forgetGoneTargets({ keys }: Partition): Promise<void> {
    const { client, connections } = this.#parts
    for (const target of await connections.commands.smembers(keys.targets)) {
      const exists = await client.indices.existsAlias({ name: target })
      if (!exists) await connections.commands.srem(keys.targets, target)
    }
  }

  async status(): Promise<Status> {
    const { connections, config, sources } = this.#parts
    return {
      streams: await Promise.all(
        sources.map(({ partitions }) => streamStatus(connections.commands, partitions)),
      ),
      workers: await workerStatus(connections.commands, config.settings.namespace),
    }
  }

  explainCascade(name: string): ExplainedPath[] {
    const definitions = this.#parts.sources.flatMap(({ index }) => index ?? [])
    return explainPaths(pathsNamed(definitions, name))
  }

  async check(): Promise<void> {
    await this.#parts.connections.check()
  }

  async deadLetters(selection: LetterSelection): Promise<DeadLetter[]> {
    const { commands } = this.#parts.connections
    const letters: DeadLetter[] = []
    for (const partition of this.#select(selection.streams).flatMap(({ partitions }) => partitions)) {
      for await (const letter of deadLetters(commands, partition, selection)) letters.push(letter)
    }
    return letters.toSorted((a, b) => b.lastAt.localeCompare(a.lastAt))
  }

  async retryLetters(letters: readonly DeadLetter[]): Promise<void> {
    const { commands } = this.#parts.connections
    for (const [stream, ofStream] of Map.groupBy(letters, (letter) => letter.stream)) {
      const writer = new StreamWriter(commands, this.#select([stream])[0]!.partitions)
      await writer.publish(
        ofStream.map(({ id }) => ({ id })),
        'bulk',
      )
    }
  }

  async discardLetters(letters: readonly DeadLetter[]): Promise<number> {
    const { commands } = this.#parts.connections
    let discarded = 0
    for (const [stream, ofStream] of Map.groupBy(letters, (letter) => letter.stream)) {
      const ids = ofStream.map(({ id }) => id)
      for (const partition of this.#select([stream])[0]!.partitions) {
        discarded += await discardLetters(commands, partition, ids)
      }
    }
    return discarded
  }

  async close(): Promise<void> {
    await this.#parts.close()
  }

  #select(streams: readonly string[] | undefined): readonly Source[] {
    const { sources } = this.#parts
    if (streams === undefined || streams.length === 0) return sources
    return streams.map((name) => {
      const source = sources.find(({ definition }) => definition.stream === name)
      if (source === undefined) {
        const known = sources.map(({ definition }) => definition.stream).join(', ')
        throw new RedstreamError('USAGE', `there is no stream "${name}"; the indexed entities have: ${known}`)
      }
      return source
    })
  }

  /** Made with the first batch: `status` and the like have no use for them. */
  readonly #servicesOf = async (): Promise<Services> => {
    const { services = {} } = this.#parts.config
    this.#services ??= Promise.resolve(typeof services === 'function' ? services() : services)
    try {
      return await this.#services
    } catch (error) {
      this.#services = undefined
      throw error
    }
  }

  #workersOf(kind: WorkerKind, source: Source): Worker[] {
    const { config, connections, logger } = this.#parts
    const { events } = this
    const { partitions, groups } = source
    const { namespace, delayMs, retentionMs, trimIntervalMs: intervalMs, dropGroupAfterMs } = config.settings
    const common = { redis: connections.commands, namespace, partitions, events, logger }
    switch (kind) {
      case 'consumer':
        return this.#consumersOf(source)
      case 'delayer':
        return [new Delayer({ ...common, delayMs })]
      case 'trimmer':
        return [new Trimmer({ ...common, groups, retentionMs, intervalMs, dropGroupAfterMs })]
    }
  }

  #consumersOf({ index, paths, partitions }: Source): Worker[] {
    const { config, connections, client, sources, logger } = this.#parts
    const { events } = this
    const { settings, dataSource } = config
    const common = { dataSource, redis: connections.commands, events, logger }
    const consumers = (group: string, handler: BatchHandler): Worker[] =>
      partitions.map(
        (partition) =>
          new Consumer({
            ...settings,
            connections,
            isolation: this.#isolation,
            partition,
            group,
            handler,
            events,
            logger,
          }),
      )
    const workers: Worker[] = []
    if (index !== undefined) {
      const services = this.#servicesOf
      const indexer = new Indexer({ ...settings, ...common, client, definition: index, services })
      workers.push(...consumers(indexGroup, indexer.handle))
    }
    if (paths.length > 0) {
      const cascader = new Cascader({
        ...common,
        paths,
        writers: writersOf(connections.commands, sources, events),
      })
      workers.push(...consumers(cascadeGroup, cascader.handle))
    }
    return workers
  }
}

/** Connects the DataSource unless the application has done so; true when it was done here. */
async function initialize(dataSource: DataSource): Promise<boolean> {
  if (dataSource.isInitialized) return false
  try {
    await dataSource.initialize()
    return true
  } catch (error) {
    if (isRedstreamError(error)) throw error
    const { type, url, host, port, database } = dataSource.options as {
      type: string
      url?: string
      host?: string
      port?: number
      database?: string
    }
    const parts = url !== undefined && URL.canParse(url) ? new URL(url) : undefined
    const name = database ?? parts?.pathname.slice(1) ?? ''
    const place = [host ?? parts?.hostname, port ?? parts?.port].filter(Boolean).join(':')
    const where = [type, place].filter(Boolean).join(' at ')
    const reason = error instanceof Error ? error.message || (error as { code?: string }).code : String(error)
    throw new RedstreamError(
      'DATABASE',
      `the database "${name}" (${where}) cannot be used: ${reason}; see the DataSource in the configuration`,
      { cause: error },
    )
  }
}
