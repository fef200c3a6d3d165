import { Redis } from 'ioredis'
import { createConnection } from 'mysql2/promise'
import { Client } from 'pg'

const TIMEOUT_MS = 3000

/** Asks PostgreSQL for an answer; rejects with the reason that there is none. */
export async function probePostgres(url: string): Promise<void> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: TIMEOUT_MS })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('SELECT 1')
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** Asks MariaDB or MySQL for an answer; rejects with the reason that there is none. */
export async function probeMariadb(url: string): Promise<void> {
  const connection = await createConnection({ uri: url, connectTimeout: TIMEOUT_MS })
  connection.on('error', () => undefined)
  try {
    await connection.query('SELECT 1')
  } finally {
    connection.destroy()
  }
}

/** Asks Redis for an answer that it gives only when its data are loaded; the pid tells whose answer it is. */
export async function probeRedis(url: string): Promise<{ pid: number }> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: TIMEOUT_MS,
    // Somebody who accepts the connection and says nothing is no Redis.
    commandTimeout: TIMEOUT_MS,
    enableReadyCheck: false,
    retryStrategy: () => null,
  })
  let reason: unknown
  redis.on('error', (error) => (reason = error))
  try {
    await redis.connect()
    await redis.ping()
    return { pid: Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1]) }
  } catch (error) {
    // connect() only says "Connection is closed"; the event before it names the reason.
    throw reason ?? error
  } finally {
    redis.disconnect()
  }
}

/** Asks Elasticsearch for an answer; the cluster's name tells whose answer it is. */
export async function probeElasticsearch(url: string): Promise<{ cluster: string }> {
  const { origin, username, password } = new URL(url)
  const authorization = `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')}`
  const response = await fetch(new URL('/_cluster/health?wait_for_status=yellow&timeout=1s', origin), {
    headers: username === '' ? {} : { authorization },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  if (!response.ok) throw new Error(`Elasticsearch answered with status ${response.status}`)
  const health = (await response.json()) as { cluster_name: string }
  return { cluster: health.cluster_name }
}
