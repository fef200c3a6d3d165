import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

import { Client as Elasticsearch } from '@elastic/elasticsearch'
import { Redis } from 'ioredis'
import { Pool } from 'pg'

import { startRedis, startServices, type ServerHandle } from '../../services/services.ts'
import { Redstream } from '../../src/redstream.ts'
import { partitionsOf, type Partition } from '../../src/streams/keys.ts'
import { removeCaptureObjects } from '../support/capture-objects.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import type { CaptureMode } from '../../src/capture/modes.ts'
import { captureSchemaOf, openDatabase, settingsOf } from './application/data-source.ts'
import { embeddedStreams, indexName, Product, streamNames, streams } from './application/entities.ts'
import { plan } from './plan.ts'
import { ElasticsearchProxy } from './proxy/elasticsearch-proxy.ts'
import { randomOf } from './random.ts'

/** The servers, the ways to them, and a place of one's own in each. */
export interface Stage {
  /** Name of the schema, namespace of the Redis keys, prefix of the indices. */
  readonly space: string
  /** Logs of the processes, and the traces of what they did. */
  readonly folder: string
  /** Restarted, so it serves nobody else. */
  readonly redisServer: ServerHandle
  /** The processes' way to Redis. */
  readonly redisProxy: TcpProxy
  /** The processes' way to Elasticsearch. */
  readonly elasticsearchProxy: ElasticsearchProxy
  /** The way to PostgreSQL of those who bring to Redis what the database tells. */
  readonly databaseProxy: TcpProxy
  /** The ways that no fault disturbs. */
  readonly redis: Redis
  readonly elasticsearch: Elasticsearch
  readonly database: Pool
  readonly partitions: readonly Partition[]
  /** For the processes. */
  readonly env: NodeJS.ProcessEnv
  /** Saves the rows that `bulk` needs; what captures changes is in its place by then. */
  seed(): Promise<void>
  /** Removes everything but the folder. */
  close(): Promise<void>
}

/** Starts or finds the servers, and makes the tables. The indices, and what captures changes, are not made. */
export async function setStage(
  { seed, capture }: { readonly seed: number; readonly capture: CaptureMode },
  progress: (line: string) => void,
): Promise<Stage> {
  const space = `torture${randomBytes(4).toString('hex')}`
  const folder = await mkdtemp(path.join(os.tmpdir(), 'redstream-torture-'))
  const redisServer = await startRedis({ appendOnly: true, progress })
  // So that no other Redis is looked for.
  process.env['REDIS_URL'] = redisServer.url
  const closers: (() => Promise<unknown>)[] = [() => redisServer.stop()]
  const close = async (): Promise<void> => {
    for (const closer of closers.reverse()) await closer().catch((error: unknown) => progress(String(error)))
  }
  try {
    const services = await startServices({ progress })
    closers.push(() => services.stop())
    const elasticsearch = new Elasticsearch({ node: services.elasticsearchUrl })
    closers.push(() => elasticsearch.close())
    const database = new Pool({
      connectionString: services.databaseUrl,
      options: `-c search_path=${space} -c lock_timeout=20s`,
    })
    closers.push(() => database.end())
    const indices = streamNames.map((stream) => indexName(space, stream))
    closers.push(() => deleteIndices(elasticsearch, indices))
    closers.push(() => database.query(`DROP SCHEMA IF EXISTS ${space} CASCADE`))
    closers.push(() => removeCaptureObjects(database, captureSchemaOf(space)))
    const databaseProxy = await TcpProxy.to(services.databaseUrl)
    closers.push(() => databaseProxy.close())
    const redisProxy = await TcpProxy.to(redisServer.url)
    closers.push(() => redisProxy.close())
    const elasticsearchProxy = await ElasticsearchProxy.start({
      target: services.elasticsearchUrl,
      random: randomOf(seed, 'requests'),
      journalFile: path.join(folder, 'requests.jsonl'),
    })
    // Before the indices are deleted: a late delete of a document would make its index anew.
    closers.push(() => elasticsearchProxy.close())
    const redis = new Redis(redisServer.url, { maxRetriesPerRequest: null })
    redis.on('error', () => undefined)
    closers.push(async () => redis.disconnect())
    await database.query(`CREATE SCHEMA ${space}`)
    await makeTables(services.databaseUrl, space)
    return {
      space,
      folder,
      redisServer,
      redisProxy,
      elasticsearchProxy,
      databaseProxy,
      redis,
      elasticsearch,
      database,
      partitions: [
        ...streamNames.flatMap((stream) => partitionsOf(space, indexName(space, stream), streams[stream])),
        ...embeddedStreams(space).flatMap((stream) => partitionsOf(space, stream, 1)),
      ],
      env: {
        PATH: process.env['PATH'],
        NO_COLOR: '1',
        DATABASE_URL: services.databaseUrl,
        REDIS_URL: `redis://127.0.0.1:${redisProxy.port}`,
        ELASTICSEARCH_URL: elasticsearchProxy.url,
        TORTURE_SPACE: space,
        TORTURE_CAPTURE: capture,
        TORTURE_SEED: String(seed),
        TORTURE_FOLDER: folder,
        TORTURE_BEGAN: String(Date.now()),
      },
      seed: () => seedProducts(services.databaseUrl, redisServer.url, space, capture),
      close,
    }
  } catch (error) {
    await close()
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

async function makeTables(databaseUrl: string, space: string): Promise<void> {
  const dataSource = await openDatabase(databaseUrl, space).initialize()
  try {
    await dataSource.synchronize()
  } finally {
    await dataSource.destroy()
  }
}

async function seedProducts(
  databaseUrl: string,
  redis: string,
  space: string,
  capture: CaptureMode,
): Promise<void> {
  const dataSource = await openDatabase(databaseUrl, space).initialize()
  try {
    const redstream = await Redstream.attach(dataSource, { redis, ...settingsOf(space, capture) })
    const products = Array.from({ length: plan.regions * plan.rowsPerRegion }, (_, i) =>
      Object.assign(new Product(), { region: i % plan.regions, name: 'seeded', stock: i }),
    )
    await dataSource.manager.save(products, { chunk: 250 })
    await redstream.close()
  } finally {
    await dataSource.destroy()
  }
}

async function deleteIndices(client: Elasticsearch, aliases: readonly string[]): Promise<void> {
  // Deleting by wildcard is forbidden by default, so they are named.
  const found = await client.indices.get({
    index: aliases.map((alias) => `${alias}*`),
    expand_wildcards: 'all',
  })
  const index = Object.keys(found)
  if (index.length > 0) await client.indices.delete({ index, ignore_unavailable: true })
}
