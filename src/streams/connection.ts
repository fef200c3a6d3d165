import { Cluster, Redis, type ClusterNode, type ClusterOptions, type RedisOptions } from 'ioredis'

import { RedstreamError, isRedstreamError } from '../errors.ts'
import type { Logger } from '../runtime/logger.ts'
import { defineScripts, type RedisClient } from './scripts.ts'

/**
 * How to reach Redis: a URL (`redis://user:password@host:6379/0`, `rediss://` for TLS), options of ioredis (TLS, ACL
 * user, Sentinel), the nodes of a cluster, or a client of your own, which is duplicated and never closed.
 */
export type RedisConnection =
  | string
  | RedisOptions
  | { cluster: ClusterNode[]; options?: ClusterOptions }
  | Redis
  | Cluster

/** Longest blocking read, in ms: what a graceful stop waits for at most. */
export const blockMs = 500

/**
 * The connections of one process: one for commands, shared by all, and one per reader for blocking reads.
 * Both give up on a socket that stays silent for longer than `timeoutMs`, because a connection that was cut on one
 * side only would otherwise never be noticed.
 */
export class RedisConnections {
  readonly commands: RedisClient
  /** Where Redis is, without user and password. */
  readonly address: string
  readonly #open: RedisClient[] = []
  readonly #connection: RedisConnection
  readonly #timeoutMs: number
  readonly #logger: Logger

  constructor(connection: RedisConnection, timeoutMs: number, logger: Logger) {
    this.#connection = connection
    this.#timeoutMs = timeoutMs
    this.#logger = logger
    this.address = addressOf(connection)
    this.commands = this.#connect({
      commandTimeout: timeoutMs,
      socketTimeout: timeoutMs,
      // A save must not wait longer for Redis than the timeout says; a refused connection is known after three tries.
      maxRetriesPerRequest: 3,
    })
  }

  /** A connection of its own for reads that block; it waits for Redis however long that takes. */
  blocking(): RedisClient {
    return this.#connect({ socketTimeout: blockMs + this.#timeoutMs, maxRetriesPerRequest: null })
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
    return describeRedisError(error, this.address)
  }

  /** Closes every connection; answers that are under way are waited for. */
  async close(): Promise<void> {
    await Promise.all(this.#open.splice(0).map(quit))
  }

  #connect(limits: RedisOptions): RedisClient {
    const client = createClient(this.#connection, {
      ...limits,
      retryStrategy: (attempt) => Math.min(50 * attempt, 1_000),
      reconnectOnError: (error) => replyCode(error) === 'READONLY',
      connectTimeout: this.#timeoutMs,
    })
    defineScripts(client)
    let failing = false
    client.on('error', (error: unknown) => {
      // One line per outage: ioredis reports every attempt to reconnect.
      if (!failing) this.#logger.warn({ err: this.describe(error) }, 'Redis cannot be reached; trying again')
      failing = true
    })
    client.on('ready', () => {
      if (failing) this.#logger.info({ redis: this.address }, 'Redis can be reached again')
      failing = false
    })
    this.#open.push(client)
    return client
  }
}

/**
 * Turns an error of ioredis into one that names the server and the setting. Decided by the error code that Redis puts
 * first in its replies (`WRONGPASS`, `OOM`, …), see the Redis protocol specification, "Simple errors".
 */
export function describeRedisError(error: unknown, address: string): RedstreamError {
  if (isRedstreamError(error)) return error
  const where = `Redis at ${address}`
  const setting = 'set REDIS_URL or `redis` in the configuration'
  const code = replyCode(error)
  switch (code) {
    case undefined:
      return new RedstreamError(
        'REDIS_UNAVAILABLE',
        `${where} does not answer: ${reasonOf(error)}; ${setting}`,
        {
          cause: error,
        },
      )
    case 'WRONGPASS':
    case 'NOAUTH':
      return new RedstreamError('REDIS', `${where} refused the user or password (${code}); ${setting}`, {
        cause: error,
      })
    case 'NOPERM':
      return new RedstreamError('REDIS', `${where}: the ACL user may not do this: ${messageOf(error)}`, {
        cause: error,
      })
    case 'OOM':
      return new RedstreamError(
        'REDIS_UNAVAILABLE',
        `${where} is full (maxmemory reached) and takes no messages until it has room again`,
        { cause: error },
      )
    case 'READONLY':
    case 'LOADING':
    case 'MASTERDOWN':
    case 'CLUSTERDOWN':
    case 'TRYAGAIN':
      return new RedstreamError('REDIS_UNAVAILABLE', `${where} takes no writes at the moment (${code})`, {
        cause: error,
      })
    default:
      return new RedstreamError('REDIS', `${where} refused a command: ${messageOf(error)}`, { cause: error })
  }
}

/** The code that a reply of Redis begins with, or undefined when the error did not come from Redis. */
export function replyCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || error.name !== 'ReplyError') return undefined
  return /^[A-Z]+/.exec(error.message)?.[0] ?? 'ERR'
}

function createClient(connection: RedisConnection, options: RedisOptions): RedisClient {
  if (typeof connection === 'string') return new Redis(connection, options)
  if (connection instanceof Redis) return connection.duplicate(options)
  if (connection instanceof Cluster) return connection.duplicate([], { redisOptions: options })
  if ('cluster' in connection) {
    const { redisOptions, ...rest } = connection.options ?? {}
    return new Cluster(connection.cluster, { ...rest, redisOptions: { ...redisOptions, ...options } })
  }
  return new Redis({ ...connection, ...options })
}

async function quit(client: RedisClient): Promise<void> {
  // QUIT would wait for a connection that is not there.
  if (client.status === 'ready') await client.quit().catch(() => client.disconnect())
  else client.disconnect()
}

function addressOf(connection: RedisConnection): string {
  if (typeof connection === 'string') {
    if (!URL.canParse(connection)) return '(unreadable URL)'
    const { hostname, port } = new URL(connection)
    return `${hostname}:${port || 6379}`
  }
  if (connection instanceof Cluster) return 'a cluster'
  if ('cluster' in connection) return `a cluster of ${connection.cluster.length} known nodes`
  const options: RedisOptions = connection instanceof Redis ? (connection as Redis).options : connection
  if (options.sentinels) return `Sentinel group ${options.name ?? '(unnamed)'}`
  return options.path ?? `${options.host ?? 'localhost'}:${options.port ?? 6379}`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function reasonOf(error: unknown): string {
  const code = (error as { code?: unknown }).code
  return typeof code === 'string' ? code : messageOf(error)
}
