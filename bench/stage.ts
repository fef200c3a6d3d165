import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { Client as Elasticsearch } from '@elastic/elasticsearch'
import { Redis } from 'ioredis'
import { Client as Postgres } from 'pg'
import type { DataSource } from 'typeorm'

import { startServices } from '../services/services.ts'
import { settingsFrom } from '../src/runtime/settings.ts'
import { partitionsOf, type Partition } from '../src/streams/keys.ts'
import { openPipeline, type Pipeline } from '../src/sync/pipeline.ts'
import { cityDatabase, indexName, type CityRow } from '../test/fixtures/process/city.ts'
import { Child } from '../test/torture/processes/child.ts'
import { Undertaker } from '../test/torture/processes/undertaker.ts'

/** One line of progress, for people. */
export function tell(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** A benchmark's corner of the servers: an empty table, its index and streams, and the worker processes it starts. */
export interface Stage {
  /** Name of the schema, namespace of the Redis keys, prefix of the index. */
  readonly space: string
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly elasticsearchUrl: string
  readonly index: string
  readonly partition: Partition
  readonly dataSource: DataSource
  readonly City: new () => CityRow
  readonly pipeline: Pipeline
  readonly redis: Redis
  readonly elasticsearch: Elasticsearch
  /** Starts `redstream COMMAND` and waits until its workers run. */
  start(command: string, env?: NodeJS.ProcessEnv): Promise<Child>
  /** What a worker process said. */
  logOf(child: Child): Promise<string>
  /** Ends the processes and removes everything. */
  close(): Promise<void>
}

/** Finds or starts the servers: a benchmark that wants one of its own sets its address in the environment before. */
export async function openStage(): Promise<Stage> {
  const services = await startServices({ progress: tell })
  const { databaseUrl, redisUrl, elasticsearchUrl } = services
  const space = `bench${randomBytes(4).toString('hex')}`
  const folder = await mkdtemp(path.join(os.tmpdir(), 'redstream-bench-'))
  const closers: (() => Promise<unknown>)[] = [
    () => services.stop(),
    () => rm(folder, { recursive: true, force: true }),
  ]
  const close = async (): Promise<void> => {
    for (const closer of closers.toReversed()) await closer().catch((error: unknown) => tell(String(error)))
  }
  try {
    await sql(databaseUrl, `CREATE SCHEMA ${space}`)
    closers.push(() => sql(databaseUrl, `DROP SCHEMA ${space} CASCADE`))
    const { dataSource, City } = cityDatabase({ databaseUrl, space, partitions: 1 })
    await dataSource.initialize()
    closers.push(() => dataSource.destroy())
    await dataSource.synchronize()

    const index = indexName(space)
    const elasticsearch = new Elasticsearch({ node: elasticsearchUrl })
    closers.push(() => elasticsearch.close())
    closers.push(() => deleteIndex(elasticsearch, index))
    const redis = new Redis(redisUrl, { maxRetriesPerRequest: null })
    redis.on('error', () => undefined)
    closers.push(async () => redis.disconnect())
    closers.push(() => deleteKeys(redis, space))
    const settings = settingsFrom({ namespace: space })
    const logger = {
      debug: () => undefined,
      info: () => undefined,
      warn: () => undefined,
      error: () => undefined,
    }
    const config = { dataSource, redis: redisUrl, elasticsearch: elasticsearchUrl, settings }
    const pipeline = await openPipeline(config, logger)
    closers.push(() => pipeline.close())
    await pipeline.init()

    const undertaker = new Undertaker()
    const children = new Map<Child, string>()
    closers.push(async () => {
      for (const child of children.keys()) child.kill()
      await Promise.all([...children.keys()].map(({ exit }) => exit))
    })
    const start = async (command: string, env: NodeJS.ProcessEnv = {}): Promise<Child> => {
      const [name = '', ...flags] = command.split(' ')
      const logFile = path.join(folder, `${children.size}.log`)
      const options = ['--config', 'test/fixtures/process/redstream.config.ts']
      if (name !== 'trimmer' && name !== 'relay') options.push('--take-over-after', '2s')
      const child = new Child(
        {
          name: command,
          command: ['bin/redstream.js', name, ...options, ...flags],
          env: {
            PATH: process.env['PATH'],
            DATABASE_URL: databaseUrl,
            REDIS_URL: redisUrl,
            ELASTICSEARCH_URL: elasticsearchUrl,
            TEST_SPACE: space,
            TEST_PARTITIONS: '1',
            ...env,
          },
          logFile,
        },
        undertaker,
      )
      children.set(child, logFile)
      await until(() => child.hasRun || !child.alive, 60_000, `${command} does not start`)
      if (!child.alive) throw new Error(`${command} ended: ${await readFile(logFile, 'utf8')}`)
      return child
    }
    const [partition] = partitionsOf(space, index, 1)
    return {
      space,
      databaseUrl,
      redisUrl,
      elasticsearchUrl,
      index,
      partition: partition!,
      dataSource,
      City,
      pipeline,
      redis,
      elasticsearch,
      start,
      logOf: (child) => readFile(children.get(child)!, 'utf8'),
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** Waits until something is true. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  withinMs: number,
  complaint: string,
  everyMs = 5,
): Promise<void> {
  const end = performance.now() + withinMs
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`${complaint}, after ${withinMs / 1_000} s`)
    await sleep(everyMs)
  }
}

/** Prints what was measured: JSON on stdout, and a line for each figure on stderr. */
export function report(result: Record<string, unknown>): void {
  const lines = (value: unknown, name: string): string[] =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value).flatMap(([key, inner]) => lines(inner, name === '' ? key : `${name} ${key}`))
      : [`${name}: ${Array.isArray(value) ? value.join(', ') : String(value)}`]
  tell(lines(result, '').join('\n'))
  process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`)
}

export function round(value: number, digits = 1): number {
  return Number(value.toFixed(digits))
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
}

async function sql(url: string, text: string): Promise<void> {
  const client = new Postgres({ connectionString: url })
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}

async function deleteKeys(redis: Redis, prefix: string): Promise<void> {
  for await (const keys of redis.scanStream({ match: `${prefix}*`, count: 1_000 })) {
    if ((keys as string[]).length > 0) await redis.unlink(keys as string[])
  }
}

async function deleteIndex(client: Elasticsearch, alias: string): Promise<void> {
  // Deleting by wildcard is forbidden by default, so they are named.
  const index = Object.keys(await client.indices.get({ index: `${alias}*`, expand_wildcards: 'all' }))
  if (index.length > 0) await client.indices.delete({ index, ignore_unavailable: true })
}
