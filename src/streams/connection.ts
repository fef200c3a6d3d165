import {
  Cluster,
  Redis,
  type ClusterNode,
  type ClusterOptions,
  type Command,
  type RedisOptions,
} from 'ioredis'

import { RedstreamError } from '../errors.ts'
import type { Logger } from '../runtime/logger.ts'
import { describeRedisError, hideArguments, isGivenUp, replyCode } from './redis-error.ts'
import { defineScripts, type RedisClient } from './scripts.ts'

/**
 * How to reach Redis: a URL (`redis://user:password@host:6379/0`, `rediss://` for TLS), options of ioredis (TLS, ACL
 * user, Sentinel), the nodes of a cluster, or a client of your own, which is duplicated and never closed. Its
 * `keyPrefix` is not used: the setting `namespace` is for that.
 */
export type RedisConnection =
  | string
  | RedisOptions
  | { cluster: ClusterNode[]; options?: ClusterOptions }
  | Redis
  | Cluster

/** Longest blocking read, in ms: what a graceful stop waits for at most. */
export const blockMs = 500

/** What a command waits for while Redis cannot be reached: a restart may be over before. */
const retriesPerCommand = 3

/**
 * The connections of one process: one for commands, shared by all, and one per reader for blocking reads.
 * Both give up on a socket that stays silent for longer than `timeoutMs`, because a connection that was cut on one
 * side only would otherwise never be noticed.
 */
export class RedisConnections {
  readonly commands: RedisClient
  /** Where Redis is, without user and password. */
  readonly address: string
  readonly #open = new Set<RedisClient>()
  readonly #connection: RedisConnection
  readonly #timeoutMs: number
  readonly #logger: Logger
  /** Why the last attempt to connect failed, until one succeeds. */
  #lastError: unknown
  #wasReached = false
  #warned = false

  /** @throws RedstreamError CONFIG when the URL cannot be read */
  constructor(connection: RedisConnection, timeoutMs: number, logger: Logger) {
    this.#connection = connection
    this.#timeoutMs = timeoutMs
    this.#logger = logger
    this.commands = this.#connect({
      commandTimeout: timeoutMs,
      socketTimeout: timeoutMs,
      maxRetriesPerRequest: retriesPerCommand,
      // Until the next attempt, commands are refused even if Redis is back.
      retryStrategy: (attempt) => Math.min(retryDelayMs(attempt), 200),
    })
    this.address = addressOf(this.commands, connection)
  }

  /**
   * A connection of its own for reads that block, until `release`. It waits for Redis however long that takes; when
   * `signal` aborts, it gives up at the next failure to connect.
   */
  blocking(signal: AbortSignal): RedisClient {
    return this.#connect({
      socketTimeout: blockMs + this.#timeoutMs,
      maxRetriesPerRequest: null,
      retryStrategy: (attempt) => (signal.aborted ? null : retryDelayMs(attempt)),
    })
  }

  /** Closes a connection for reads at once; what it waits for is never answered. */
  release(reader: RedisClient): void {
    this.#open.delete(reader)
    reader.disconnect()
  }

  /**
   * Asks Redis for an answer.
   *
   * @throws RedstreamError REDIS_UNAVAILABLE or REDIS
   */
  async check(): Promise<void> {
    try {
      await this.commands.ping()
    } catch (error) {
      throw this.describe(error)
    }
  }

  /** Turns an error of ioredis into one that says what to do. */
  describe(error: unknown): RedstreamError {
    return describeRedisError((isGivenUp(error) ? this.#lastError : undefined) ?? error, this.address)
  }

  /** Closes every connection; answers that are under way are waited for. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map(quit))
  }

  #connect(limits: RedisOptions): RedisClient {
    const client = createClient(this.#connection, {
      ...limits,
      // What a client of the user's may have set otherwise. Keys in replies have the prefix, so it cannot be allowed.
      keyPrefix: '',
      enableOfflineQueue: true,
      autoResendUnfulfilledCommands: true,
      // A publish leaves in the tick in which it is sent: that may be the last one of the process.
      enableAutoPipelining: false,
      stringNumbers: false,
      reconnectOnError: (error) => replyCode(error) === 'READONLY',
      connectTimeout: this.#timeoutMs,
      // Otherwise it looks for a Sentinel for ever, or waits for one that is silent.
      ...(limits.retryStrategy ? { sentinelRetryStrategy: limits.retryStrategy } : {}),
      sentinelCommandTimeout: this.#timeoutMs,
    })
    defineScripts(client)
    const outage = new Outage(client)
    watchCommands(client, limits.commandTimeout, outage)
    client.on('error', (error: unknown) => this.#failed(error))
    client.on('ready', () => this.#reached())
    this.#open.add(client)
    return client
  }

  #failed(error: unknown): void {
    this.#lastError = error
    // One line per outage: ioredis reports every attempt to reconnect. The first connection is reported by `check`.
    if (!this.#wasReached || this.#warned) return
    this.#warned = true
    this.#logger.warn({ err: this.describe(error) }, 'Redis cannot be reached; trying again')
  }

  #reached(): void {
    this.#lastError = undefined
    this.#wasReached = true
    if (this.#warned) this.#logger.info({ redis: this.address }, 'Redis can be reached again')
    this.#warned = false
  }
}

function createClient(connection: RedisConnection, options: RedisOptions): RedisClient {
  if (typeof connection === 'string') {
    try {
      return new Redis(connection, options)
    } catch {
      // The error of URL() repeats the password.
      throw new RedstreamError(
        'CONFIG',
        'the URL of Redis cannot be read: it must be like redis://user:password@host:6379/0, with special ' +
          'characters of user and password percent-encoded; set REDIS_URL or `redis` in the configuration',
      )
    }
  }
  if (connection instanceof Cluster) {
    // Without nodes of their own, a duplicate takes those of the original.
    return connection.duplicate([], clusterOptions(connection.options, options))
  }
  if ('cluster' in connection && !(connection instanceof Redis))
    return new Cluster(connection.cluster, clusterOptions(connection.options ?? {}, options))
  // The timeout of the user's own commands would end every blocking read.
  const { commandTimeout: _, ...own } = connection instanceof Redis ? connection.options : connection
  return new Redis({ ...own, ...options })
}

function clusterOptions(own: ClusterOptions, options: RedisOptions): ClusterOptions {
  const { commandTimeout: _, ...redisOptions } = own.redisOptions ?? {}
  return {
    ...own,
    enableOfflineQueue: true,
    enableAutoPipelining: false,
    // A replica may be behind: what it says of groups and streams cannot be relied on.
    scaleReads: 'master',
    ...(options.retryStrategy ? { clusterRetryStrategy: options.retryStrategy } : {}),
    redisOptions: { ...redisOptions, ...options },
  }
}

function retryDelayMs(attempt: number): number {
  return Math.min(50 * attempt, 1_000)
}

/** Whether it is known that Redis is away: as many attempts to connect have failed as a command waits for. */
class Outage {
  readonly #client: RedisClient
  #failures = 0
  #lastError: Error | undefined

  constructor(client: RedisClient) {
    this.#client = client
    client.on('error', (error: Error) => {
      this.#failures++
      this.#lastError = error
    })
    client.on('ready', () => {
      this.#failures = 0
    })
  }

  /** Why a command would wait in vain; undefined when it is worth sending. */
  get reason(): Error | undefined {
    const { status } = this.#client
    // When it is connected, ioredis sends commands of its own before it is ready.
    if (this.#failures < retriesPerCommand || status === 'ready' || status === 'connect') return undefined
    return this.#lastError
  }
}

/**
 * Errors leave the connection without the arguments of the command. No command waits longer than the timeout, and none
 * waits at all when Redis is known to be away: the transactions of the application would wait with it, each with a
 * connection of the database in hand. Without a timeout, commands wait for ever.
 */
function watchCommands(client: RedisClient, timeoutMs: number | undefined, outage: Outage): void {
  const send = client.sendCommand.bind(client) as (command: Command, ...rest: unknown[]) => unknown
  client.sendCommand = (command: Command, ...rest: unknown[]) => {
    // The first to hear of the error: whoever waits for the command asks later.
    command.promise.catch(hideArguments)
    const { reason } = outage
    if (timeoutMs !== undefined && reason !== undefined) {
      command.reject(reason)
      return command.promise
    }
    // A cluster hands the timeout to its nodes, and as long as it has none, a command would wait for ever.
    if (timeoutMs !== undefined) command.setTimeout(timeoutMs)
    return send(command, ...rest)
  }
}

async function quit(client: RedisClient): Promise<void> {
  // QUIT would wait for a connection that is not there.
  if (client.status === 'ready') await client.quit().catch(() => client.disconnect())
  else client.disconnect()
}

function addressOf(client: RedisClient, connection: RedisConnection): string {
  if (client instanceof Cluster) {
    const known = typeof connection === 'object' && 'cluster' in connection ? connection.cluster : undefined
    return Array.isArray(known) ? `a cluster of ${known.length} known nodes` : 'a cluster'
  }
  const { sentinels, name, path, host, port } = client.options
  if (sentinels) return `Sentinel group ${name ?? '(unnamed)'}`
  return path ?? `${host ?? 'localhost'}:${port ?? 6379}`
}
