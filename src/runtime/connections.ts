import { RedstreamError } from '../errors.ts'
import type { RedisConnection } from '../streams/connection.ts'
import type { ElasticsearchConnection } from '../indexing/elasticsearch-connection.ts'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * How to reach Redis and Elasticsearch: what the configuration says, else `REDIS_URL` and `ELASTICSEARCH_URL`.
 *
 * @param source - the configuration's name, for messages
 * @throws RedstreamError CONFIG when one is missing or no URL; never shows the value, which may hold a password
 */
export function resolveConnections(
  given: { redis?: RedisConnection | undefined; elasticsearch?: ElasticsearchConnection | undefined },
  env: Environment,
  source: string,
): { redis: RedisConnection; elasticsearch: ElasticsearchConnection } {
  return {
    redis: resolveConnection(given.redis, env, source, {
      key: 'redis',
      variable: 'REDIS_URL',
      protocols: ['redis:', 'rediss:'],
      example: 'redis://localhost:6379',
    }),
    elasticsearch: resolveConnection(given.elasticsearch, env, source, {
      key: 'elasticsearch',
      variable: 'ELASTICSEARCH_URL',
      protocols: ['http:', 'https:'],
      example: 'http://localhost:9200',
    }),
  }
}

interface Server {
  readonly key: string
  readonly variable: string
  readonly protocols: readonly string[]
  readonly example: string
}

function resolveConnection<T>(
  given: T | undefined,
  env: Environment,
  source: string,
  server: Server,
): T | string {
  const { key, variable, protocols, example } = server
  const inEnvironment = given === undefined
  const connection = inEnvironment ? env[variable] : given
  if (connection === undefined || connection === '') {
    throw new RedstreamError(
      'CONFIG',
      `${key} is not in ${source}, and ${variable} is not set: give one, such as ${example}`,
    )
  }
  const valid =
    typeof connection === 'string'
      ? URL.canParse(connection) && protocols.includes(new URL(connection).protocol)
      : typeof connection === 'object' && connection !== null
  if (valid) return connection
  const where = inEnvironment ? variable : `${key} in ${source}`
  throw new RedstreamError(
    'CONFIG',
    `${where} is no URL such as ${example}; characters like @ and / in a password must be percent-encoded`,
  )
}
