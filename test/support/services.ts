import { randomBytes } from 'node:crypto'

import { Client as ElasticsearchClient } from '@elastic/elasticsearch'
import { Redis } from 'ioredis'
import { Client as PostgresClient } from 'pg'
import type { DataSourceOptions } from 'typeorm'

type PostgresOptions = Extract<DataSourceOptions, { type: 'postgres' }>

/** A test's own corner of the three servers, so that tests run side by side. */
export interface TestSpace {
  /** An empty schema of the database. */
  readonly schema: string
  /** Prefix of the Redis keys. */
  readonly namespace: string
  /** Prefix of the index names, with a dash at its end. */
  readonly indexPrefix: string
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly elasticsearchUrl: string
  /** Options of a TypeORM DataSource whose tables, and raw queries, are in the schema. */
  dataSourceOptions(entities: PostgresOptions['entities']): PostgresOptions
  /** A new client, closed by `dispose`. */
  redis(): Redis
  /** A new client, closed by `dispose`. */
  elasticsearch(): ElasticsearchClient
  /** Closes the clients and removes the schema, the keys and the indices. */
  dispose(): Promise<void>
}

/** Makes a space with a random name. The addresses come from the environment, where the global set-up puts them. */
export async function testSpace(): Promise<TestSpace> {
  const name = `t${randomBytes(6).toString('hex')}`
  const indexPrefix = `${name}-`
  const databaseUrl = address('DATABASE_URL')
  const redisUrl = address('REDIS_URL')
  const elasticsearchUrl = address('ELASTICSEARCH_URL')
  const redisClients: Redis[] = []
  const elasticsearchClients: ElasticsearchClient[] = []
  await sql(databaseUrl, `CREATE SCHEMA ${name}`)
  return {
    schema: name,
    namespace: name,
    indexPrefix,
    databaseUrl,
    redisUrl,
    elasticsearchUrl,
    dataSourceOptions: (entities) => ({
      type: 'postgres',
      url: databaseUrl,
      schema: name,
      // Raw SQL names its tables without the schema.
      extra: { options: `-c search_path=${name}` },
      // Generated uuids by a function of PostgreSQL itself: an extension would be in the schema of whichever test came
      // first, and go with it.
      uuidExtension: 'pgcrypto',
      installExtensions: false,
      ...(entities === undefined ? {} : { entities }),
    }),
    redis: () => {
      const client = new Redis(redisUrl)
      redisClients.push(client)
      return client
    },
    elasticsearch: () => {
      const client = new ElasticsearchClient({ node: elasticsearchUrl })
      elasticsearchClients.push(client)
      return client
    },
    dispose: async () => {
      for (const client of redisClients) client.disconnect()
      await Promise.all([
        ...elasticsearchClients.map((client) => client.close()),
        // A connection that a test left open in a transaction must not hold this up for ever.
        sql(databaseUrl, `SET lock_timeout = '20s'; DROP SCHEMA IF EXISTS ${name} CASCADE`),
        deleteKeys(redisUrl, name),
        deleteIndices(elasticsearchUrl, indexPrefix),
      ])
    },
  }
}

function address(variable: 'DATABASE_URL' | 'REDIS_URL' | 'ELASTICSEARCH_URL'): string {
  const url = process.env[variable]
  if (url === undefined) {
    throw new Error(
      `${variable} is not set: run the tests with "npm test", or vitest with its configuration file`,
    )
  }
  return url
}

async function sql(url: string, text: string): Promise<void> {
  const client = new PostgresClient({ connectionString: url })
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}

async function deleteKeys(url: string, prefix: string): Promise<void> {
  const client = new Redis(url)
  try {
    for await (const keys of client.scanStream({ match: `${prefix}*`, count: 1000 })) {
      if ((keys as string[]).length > 0) await client.unlink(keys as string[])
    }
  } finally {
    client.disconnect()
  }
}

async function deleteIndices(url: string, prefix: string): Promise<void> {
  const client = new ElasticsearchClient({ node: url })
  try {
    // Deleting by wildcard is forbidden by default, so they are named.
    const index = Object.keys(await client.indices.get({ index: `${prefix}*`, expand_wildcards: 'all' }))
    if (index.length > 0) await client.indices.delete({ index, ignore_unavailable: true })
  } finally {
    await client.close()
  }
}
