import { Client as ElasticsearchClient } from '@elastic/elasticsearch'
import { Redis } from 'ioredis'
import { Client as PostgresClient, escapeIdentifier } from 'pg'

import type { Services } from '../../../services/services.ts'

/** The demo's own corner of the three servers. */
export interface Workspace {
  readonly schema: string
  /** Prefix of the Redis keys. */
  readonly namespace: string
  /** The alias that the demo searches. */
  readonly index: string
  /** What the application and the workers find in their environment. */
  readonly environment: Readonly<Record<string, string>>
}

/**
 * The names of a run. On a server that the user named in the environment they carry a suffix of their own, so that
 * they meet nothing that is there; a server that was started for the demo holds nothing else.
 */
export function workspaceFor(services: Services, suffix: string): Workspace {
  const { source } = services
  const schema = source.postgres === 'environment' ? `redstream_demo_${suffix}` : 'demo'
  const namespace = source.redis === 'environment' ? `redstream-demo-${suffix}` : 'demo'
  const prefix = source.elasticsearch === 'environment' ? `redstream-demo-${suffix}-` : ''
  return {
    schema,
    namespace,
    index: `${prefix}cities`,
    environment: {
      DATABASE_URL: services.databaseUrl,
      REDIS_URL: services.redisUrl,
      ELASTICSEARCH_URL: services.elasticsearchUrl,
      CITIES_SCHEMA: schema,
      CITIES_INDEX_PREFIX: prefix,
      REDSTREAM_NAMESPACE: namespace,
    },
  }
}

/**
 * Removes the schema, the keys and the indices from the servers of the environment; the others are thrown away whole.
 * Tries each of the three, whatever becomes of the others.
 */
export async function removeWorkspace(services: Services, workspace: Workspace): Promise<void> {
  const { source, databaseUrl, redisUrl, elasticsearchUrl } = services
  const outcomes = await Promise.allSettled([
    source.postgres === 'environment' && dropSchema(databaseUrl, workspace.schema),
    source.redis === 'environment' && deleteKeys(redisUrl, workspace.namespace),
    source.elasticsearch === 'environment' && deleteIndices(elasticsearchUrl, workspace.index),
  ])
  const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []))
  if (failures.length > 0)
    throw new AggregateError(failures, `something of ${workspace.schema} is left behind`)
}

async function dropSchema(url: string, schema: string): Promise<void> {
  const client = new PostgresClient({ connectionString: url })
  await client.connect()
  try {
    // A connection of a killed process may hold a lock for a moment.
    await client.query(`SET lock_timeout = '20s'; DROP SCHEMA IF EXISTS ${escapeIdentifier(schema)} CASCADE`)
  } finally {
    await client.end()
  }
}

async function deleteKeys(url: string, namespace: string): Promise<void> {
  const client = new Redis(url)
  try {
    for await (const keys of client.scanStream({ match: `${namespace}:*`, count: 1_000 })) {
      if ((keys as string[]).length > 0) await client.unlink(keys as string[])
    }
  } finally {
    client.disconnect()
  }
}

async function deleteIndices(url: string, alias: string): Promise<void> {
  const client = new ElasticsearchClient({ node: url })
  try {
    // By name, because a cluster may forbid to delete by wildcard.
    const index = Object.keys(await client.indices.get({ index: `${alias}-*`, expand_wildcards: 'all' }))
    if (index.length > 0) await client.indices.delete({ index, ignore_unavailable: true })
  } finally {
    await client.close()
  }
}
