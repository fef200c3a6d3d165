import { RedstreamError, type ErrorCode } from '../src/errors.ts'
import { composeAnswers, startWithCompose } from './compose.ts'
import { startElasticsearch } from './elasticsearch.ts'
import { startPostgres } from './postgres.ts'
import { probeElasticsearch, probePostgres, probeRedis } from './probes.ts'
import { startRedis } from './redis.ts'
import type { ServerHandle } from './server-handle.ts'

export { startElasticsearch, type ElasticsearchOptions } from './elasticsearch.ts'
export { startMariadb, type MariadbOptions } from './mariadb.ts'
export { startPostgres, type PostgresOptions } from './postgres.ts'
export { startRedis, type RedisOptions } from './redis.ts'
export type { ServerHandle } from './server-handle.ts'

/** Where a server comes from. */
export type ServiceSource = 'environment' | 'compose' | 'embedded'

export interface Services {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly elasticsearchUrl: string
  readonly source: Readonly<Record<'postgres' | 'redis' | 'elasticsearch', ServiceSource>>
  /** Ends those that were started, and removes their data. May be called again. */
  stop(): Promise<void>
}

export interface ServicesOptions {
  /** Is told what happens, a line at a time. Default: nobody is. */
  readonly progress?: (line: string) => void
}

interface Service {
  readonly name: string
  readonly variable: string
  readonly errorCode: ErrorCode
  readonly probe: (url: string) => Promise<unknown>
  readonly compose: () => Promise<ServerHandle>
  readonly embedded: () => Promise<ServerHandle>
}

interface Found {
  readonly url: string
  readonly source: ServiceSource
  readonly stop: () => Promise<void>
}

/**
 * Finds the three servers, each for itself: the address in the environment (`DATABASE_URL`, `REDIS_URL`,
 * `ELASTICSEARCH_URL`), else docker compose when an engine answers, else an embedded one. They start side by side,
 * and none outlives this program, whatever ends it.
 *
 * @throws RedstreamError when a server of the environment does not answer or one cannot be started; those already
 * started are stopped.
 */
export async function startServices(options: ServicesOptions = {}): Promise<Services> {
  const progress = options.progress ?? (() => undefined)
  let engine: Promise<boolean> | undefined
  const hasEngine = (): Promise<boolean> => (engine ??= composeAnswers())
  const outcomes = await Promise.allSettled([
    find(postgresService(), hasEngine, progress),
    find(redisService(progress), hasEngine, progress),
    find(elasticsearchService(progress), hasEngine, progress),
  ])
  const started = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  const stop = async (): Promise<void> => {
    await Promise.all(started.map((server) => server.stop()))
  }
  const [postgres, redis, elasticsearch] = started
  if (postgres === undefined || redis === undefined || elasticsearch === undefined) {
    await stop()
    throw firstError(outcomes)
  }
  return {
    databaseUrl: postgres.url,
    redisUrl: redis.url,
    elasticsearchUrl: elasticsearch.url,
    source: { postgres: postgres.source, redis: redis.source, elasticsearch: elasticsearch.source },
    stop,
  }
}

const postgresService = (): Service => ({
  name: 'PostgreSQL',
  variable: 'DATABASE_URL',
  errorCode: 'DATABASE',
  probe: probePostgres,
  compose: () => startWithCompose('postgres'),
  embedded: () => startPostgres(),
})

const redisService = (progress: (line: string) => void): Service => ({
  name: 'Redis',
  variable: 'REDIS_URL',
  errorCode: 'REDIS',
  probe: probeRedis,
  compose: () => startWithCompose('redis'),
  embedded: () => startRedis({ progress }),
})

const elasticsearchService = (progress: (line: string) => void): Service => ({
  name: 'Elasticsearch',
  variable: 'ELASTICSEARCH_URL',
  errorCode: 'ELASTICSEARCH_UNAVAILABLE',
  probe: probeElasticsearch,
  compose: () => startWithCompose('elasticsearch'),
  embedded: () => startElasticsearch({ progress }),
})

async function find(
  service: Service,
  hasEngine: () => Promise<boolean>,
  progress: (line: string) => void,
): Promise<Found> {
  const url = process.env[service.variable]
  if (url !== undefined && url !== '') return attach(service, url)
  if (await hasEngine()) {
    try {
      progress(`${service.name}: starting with docker compose`)
      return owned(await service.compose(), 'compose')
    } catch (error) {
      progress(`${service.name}: docker compose failed, so an embedded one is started (${reasonOf(error)})`)
    }
  }
  progress(`${service.name}: starting`)
  const begin = Date.now()
  const server = await service.embedded()
  progress(`${service.name}: ready after ${((Date.now() - begin) / 1000).toFixed(1)} s`)
  return owned(server, 'embedded')
}

function owned(server: ServerHandle, source: ServiceSource): Found {
  return { url: server.url, source, stop: () => server.stop() }
}

async function attach(service: Service, url: string): Promise<Found> {
  try {
    await service.probe(url)
    return { url, source: 'environment', stop: () => Promise.resolve() }
  } catch (error) {
    const message = `${service.variable} is set, but ${service.name} does not answer there: ${reasonOf(error)}. Start it, or unset ${service.variable} to have one started.`
    throw new RedstreamError(service.errorCode, message, { cause: error })
  }
}

/** The innermost reason: `fetch` and Node's connection attempts wrap it. Never the URL, which may hold a password. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0])
  if (error instanceof TypeError && error.cause !== undefined) return reasonOf(error.cause)
  return error instanceof Error ? error.message : String(error)
}

function firstError(outcomes: readonly PromiseSettledResult<unknown>[]): unknown {
  return outcomes.find((outcome) => outcome.status === 'rejected')?.reason
}
