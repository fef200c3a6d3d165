import type { Client } from '@elastic/elasticsearch'
import type { DataSource } from 'typeorm'

import { auditCapture, cleanAudits, type AuditOptions } from '../audit/audit-capture.ts'
import type { AuditReport } from '../audit/report.ts'
import type { AuditSite } from '../audit/scene.ts'
import { captureModesOf } from '../capture/stream-modes.ts'
import { explainPaths, pathsNamed, type ExplainedPath } from '../cascade/explain.ts'
import { watchedBy } from '../capture/watched-by.ts'
import { cascadeSources } from '../cascade/streams.ts'
import { resolveDefinitions } from '../definitions.ts'
import { RedstreamError } from '../errors.ts'
import type { Adoption } from '../indexing/adoption.ts'
import {
  checkElasticsearch,
  connectElasticsearch,
  type ElasticsearchConnection,
} from '../indexing/elasticsearch-connection.ts'
import type { InitReport } from '../indexing/index-schema.ts'
import { TriggersPart } from '../outbox/triggers/triggers-part.ts'
import type { Reindexer } from '../reindex/reindexer.ts'
import { Events } from '../runtime/events.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Settings } from '../runtime/settings.ts'
import type { Worker, WorkerKind } from '../runtime/worker.ts'
import { RedisConnections, type RedisConnection } from '../streams/connection.ts'
import type { DeadLetter } from '../streams/dead-letters.ts'
import { streamStatus, workerStatus, type StreamStatus, type WorkerStatus } from '../streams/inspect.ts'
import type { OutboxStatus } from '../outbox/queue.ts'
import { CaptureState } from './capture-state.ts'
import { DatabaseParts } from './database-parts.ts'
import { IndexAdministration, type PlanReport } from './index-administration.ts'
import { Letters, type LetterSelection } from './letters.ts'
import { openDatabase } from './open-database.ts'
import { hearConnectionErrors } from './postgres-pool.ts'
import { explainDocuments, type ExplainedDocuments } from './projection/explain.ts'
import { checkRelations } from './relation-tree.ts'
import { madeOnce, type GivenServices } from './services.ts'
import type { IndexSite } from './site.ts'
import { indexedSources, sourceOfIndex, sourcesNamed, sourcesOf, type Source } from './sources.ts'
import { logStatus, type LogStatus } from '../wal/log-status.ts'
import { formerLogSiteOf, logSiteOf, type LogSite } from '../wal/site.ts'
import { WorkerFactory } from './workers.ts'

/** The configuration after files, flags and environment are put together. */
export interface ResolvedConfig {
  readonly dataSource: DataSource
  readonly redis: RedisConnection
  readonly elasticsearch: ElasticsearchConnection
  readonly settings: Settings
  /** For `document()`. Default: none. */
  readonly services?: GivenServices | undefined
}

/** What `redstream status --json` prints. */
export interface Status {
  streams: StreamStatus[]
  workers: WorkerStatus[]
  /** Missing when there is no outbox, or when the database does not answer. */
  outbox?: OutboxStatus
  /** Of the log of the database, when streams are fed from it (capture "wal"). */
  log?: LogStatus
  /** What is wrong with the triggers that capture changes. Missing when there are to be none (setting capture). */
  triggers?: string[]
}

/** Everything that the command line needs of the sync: it owns the connections until `close`. */
export interface Pipeline {
  /** What the workers tell; nobody listens unless somebody asks for metrics. */
  readonly events: Events
  /**
   * The workers of the given kinds; `streams` limits them to some streams.
   *
   * @throws RedstreamError USAGE when there is no such stream, or only the log is to be followed and feeds none
   */
  workers(kinds: readonly WorkerKind[], streams?: readonly string[]): Worker[]
  /** The kinds of workers that an installation with this configuration needs at this moment. */
  kindsNeeded(): Promise<WorkerKind[]>
  /** What captures changes in the database, beside the application. */
  readonly database: DatabaseParts
  /** Creates what is missing: indices, aliases, consumer groups, and the list of write targets. */
  init(): Promise<InitReport>
  /** What `init` would do about the indices, and how many rows a reindex would have to copy. */
  plan(): Promise<PlanReport>
  /** Takes over indices that were made by hand under the names of the aliases; call `init` after it. */
  adopt(): Promise<Adoption[]>
  status(): Promise<Status>
  /** What is wrong with the triggers that capture changes; undefined when there are to be none (setting capture). */
  triggerProblems(): Promise<string[] | undefined>
  /**
   * What changes of other tables lead to the documents of an index, or where those of a table lead.
   *
   * @param name - of an index, an entity or a table
   * @throws RedstreamError USAGE when there is nothing of that name
   */
  explainCascade(name: string): ExplainedPath[]
  /**
   * Who makes the documents of an index: the database, or entities and why.
   *
   * @param name - of an index, an indexed entity or its table
   * @throws RedstreamError USAGE when there is nothing of that name; DATABASE
   */
  explainDocuments(name: string): Promise<ExplainedDocuments[]>
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
  /**
   * An index and all that its documents depend on, by the name of its alias.
   *
   * @throws RedstreamError USAGE when there is no such index
   */
  site(name: string): IndexSite
  /** The log of the database; undefined: no stream is fed from it. */
  readonly log: LogSite | undefined
  /** The indices of all indexed entities, by the aliases that applications search. */
  readonly indices: readonly string[]
  /**
   * The reindex of an index.
   *
   * @throws RedstreamError USAGE when there is no such index
   */
  reindexer(name: string): Reindexer
  /**
   * Follows the database with a second source of changes, and tells what the first one has missed.
   *
   * @throws RedstreamError see {@link auditCapture}
   */
  audit(options: AuditOptions): Promise<AuditReport>
  /** Removes what audits have left behind that were killed; returns what that was. */
  cleanAudits(): Promise<string[]>
  close(): Promise<void>
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
  const initializedHere = await openDatabase(dataSource)
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
  readonly close: () => Promise<void>
  readonly database: DatabaseParts
  readonly #capture: CaptureState
  readonly #dataSource: DataSource
  readonly #settings: Settings
  readonly #connections: RedisConnections
  readonly log: LogSite | undefined
  readonly #sources: readonly Source[]
  readonly #administration: IndexAdministration
  readonly #letters: Letters
  readonly #factory: WorkerFactory
  readonly #auditSite: AuditSite
  readonly #triggers: TriggersPart | undefined

  constructor({ config, logger, connections, client, sources, close }: Parts) {
    const { dataSource, settings } = config
    const redis = connections.commands
    const events = new Events(logger)
    const services = madeOnce(config.services)
    const common = { dataSource, redis, client, settings }
    this.events = events
    this.close = close
    this.log = logSiteOf(sources, { ...common, logger })
    this.#dataSource = dataSource
    this.#settings = settings
    this.#connections = connections
    this.#sources = sources
    const indexes = indexedSources(sources).map(({ index }) => index)
    const modes = captureModesOf(indexes, cascadeSources(indexes), settings.capture)
    this.#capture = new CaptureState(dataSource, modes, settings.captureSchema, logger)
    const { tables } = watchedBy(['trigger'], dataSource, indexes, settings.capture)
    this.#triggers =
      tables.length > 0 ? new TriggersPart(dataSource, settings.captureSchema, tables) : undefined
    this.database = new DatabaseParts({
      dataSource,
      modes,
      captureSchema: settings.captureSchema,
      triggered: tables,
      log: this.log ?? formerLogSiteOf(sources, { ...common, logger }),
    })
    this.#administration = new IndexAdministration(common, sources)
    this.#letters = new Letters(redis, sources)
    this.#auditSite = { dataSource, connections, settings, sources, logger }
    this.#factory = new WorkerFactory({ ...common, connections, services, sources, events, logger })
  }

  workers(kinds: readonly WorkerKind[], streams?: readonly string[]): Worker[] {
    const sources = sourcesNamed(this.#sources, streams)
    if (this.log === undefined && kinds.length === 1 && kinds.includes('follower'))
      throw new RedstreamError(
        'USAGE',
        'nothing follows the log of the database: set `capture: "wal"` in the configuration, or in @Indexed of an entity',
      )
    const ofStreams = kinds.flatMap((kind) => this.#factory.workers(kind, sources))
    // Who serves some streams only leaves the log, which feeds them all, to others.
    if (this.log === undefined || !kinds.includes('follower') || streams?.length) return ofStreams
    return [...ofStreams, this.#factory.follower(this.log)]
  }

  kindsNeeded(): Promise<WorkerKind[]> {
    return this.#capture.kindsNeeded()
  }

  init(): Promise<InitReport> {
    return this.#administration.init()
  }

  plan(): Promise<PlanReport> {
    return this.#administration.plan()
  }

  adopt(): Promise<Adoption[]> {
    return this.#administration.adopt()
  }

  async status(): Promise<Status> {
    const redis = this.#connections.commands
    const [outbox, streams, workers, log, triggers] = await Promise.all([
      this.#capture.outbox(),
      Promise.all(this.#sources.map(({ partitions }) => streamStatus(redis, partitions))),
      workerStatus(redis, this.#settings.namespace),
      this.log === undefined ? undefined : logStatus(this.log),
      this.triggerProblems(),
    ])
    return {
      streams,
      workers,
      ...(outbox === undefined ? {} : { outbox }),
      ...(triggers === undefined ? {} : { triggers }),
      ...(log === undefined ? {} : { log }),
    }
  }

  async triggerProblems(): Promise<string[] | undefined> {
    return this.#triggers?.problems()
  }

  explainCascade(name: string): ExplainedPath[] {
    const definitions = this.#sources.flatMap(({ index }) => index ?? [])
    return explainPaths(pathsNamed(definitions, name))
  }

  explainDocuments(name: string): Promise<ExplainedDocuments[]> {
    const definitions = this.#sources.flatMap(({ index }) => index ?? [])
    return explainDocuments(this.#dataSource, definitions, name)
  }

  async check(): Promise<void> {
    await this.#connections.check()
  }

  deadLetters(selection: LetterSelection): Promise<DeadLetter[]> {
    return this.#letters.list(selection)
  }

  retryLetters(letters: readonly DeadLetter[]): Promise<void> {
    return this.#letters.retry(letters)
  }

  discardLetters(letters: readonly DeadLetter[]): Promise<number> {
    return this.#letters.discard(letters)
  }

  get indices(): string[] {
    return indexedSources(this.#sources).map(({ index }) => index.name)
  }

  site(name: string): IndexSite {
    return this.#factory.site(sourceOfIndex(this.#sources, name))
  }

  reindexer(name: string): Reindexer {
    return this.#factory.reindexer(sourceOfIndex(this.#sources, name))
  }

  audit(options: AuditOptions): Promise<AuditReport> {
    return auditCapture(this.#auditSite, options)
  }

  cleanAudits(): Promise<string[]> {
    return cleanAudits(this.#auditSite)
  }
}
