/**
 * What a reindex does: rows a second to a changed mapping, against raw bulk requests of the same documents in the same
 * run, and the lag of live changes before, during and after, at 200 writes a second. The worker and the reindex are
 * processes of their own.
 *
 * Run: npm run bench:reindex [-- --rows N --writes N --workers N]
 * Without --rows: the 171,075 cities of the demo. DATABASE_URL, REDIS_URL and ELASTICSEARCH_URL, or embedded servers.
 */
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { Client } from '@elastic/elasticsearch'
import { execa } from 'execa'
import { Redis } from 'ioredis'

import { readSourceData } from '../examples/cities/demo/source-data.ts'
import { startServices } from '../services/services.ts'
import { countDocuments, createCopyIndex, restoreSettings } from '../src/indexing/copy-index.ts'
import { declareIndex } from '../src/indexing/index-schema.ts'
import type { ReindexState } from '../src/reindex/state.ts'
import { Redstream } from '../src/redstream.ts'
import { pause } from '../src/runtime/backoff.ts'
import { watchLag, write, type Lag } from './reindex/live.ts'
import {
  cityDatabase,
  documentOf,
  index,
  namespace,
  pipelineOf,
  table,
  City,
  type Place,
} from './reindex/place.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string' },
    writes: { type: 'string', default: '200' },
    workers: { type: 'string', default: '4' },
  },
})
const quietMs = 10_000
const documentsPerRequest = 1_000

const services = await startServices({ progress: (line) => void process.stderr.write(`${line}\n`) })
const { databaseUrl, redisUrl, elasticsearchUrl } = services
const place: Place = { databaseUrl, redisUrl, elasticsearchUrl }
const dataSource = await cityDatabase(place).initialize()
await dataSource.query(`DROP TABLE IF EXISTS ${table}`)
await dataSource.synchronize()
const client = new Client({ node: elasticsearchUrl })
await cleanUp()
const pipeline = await pipelineOf(dataSource, place)
const env = { BENCH_PLACE: JSON.stringify(place), BENCH_NEWER: '1' }
const file = fileURLToPath(new URL('./reindex/process.ts', import.meta.url))

try {
  const cities = await citiesOf(values.rows)
  for (let first = 0; first < cities.length; first += 5_000)
    await dataSource
      .createQueryBuilder()
      .insert()
      .into(City)
      .values(cities.slice(first, first + 5_000))
      .execute()
  await pipeline.init()
  note(`${cities.length} rows; raw bulk requests of their documents`)
  const raw = await rawBulk(cities)

  const redstream = await Redstream.attach(dataSource, { redis: redisUrl, namespace })
  const worker = execa(process.execPath, [file, 'worker'], { env, stderr: 'inherit' })
  await new Promise((resolve) => worker.stdout.once('data', resolve))
  const writing = new AbortController()
  const writes = write(dataSource, cities.length, Number(values.writes), writing.signal)
  note('live changes before the reindex')
  const before = await lagWhile(pause(quietMs))
  note('the reindex')
  const command = execa(process.execPath, [file, 'reindex', values.workers], { env, stderr: 'inherit' })
  const during = await lagWhile(command)
  const { stdout } = await command
  note('live changes after it')
  const after = await lagWhile(pause(quietMs))
  writing.abort()
  const written = await writes
  await redstream.drained({ timeout: 60_000 })
  worker.kill('SIGTERM')
  await worker
  await redstream.close()

  const { copyingAt = 0, swappedAt = 0, startedAt, to } = JSON.parse(stdout) as ReindexState
  const seconds = (swappedAt - copyingAt) / 1_000
  const rowsPerSecond = Math.round(cities.length / seconds)
  await client.indices.refresh({ index })
  const report = {
    cores: cpus().length,
    rows: cities.length,
    reindex: {
      rowsPerSecond,
      ratio: Math.round((rowsPerSecond / raw) * 100) / 100,
      seconds,
      wholeSeconds: (swappedAt - startedAt) / 1_000,
    },
    rawBulkDocsPerSecond: raw,
    writes: written,
    lagMs: { before, during, after },
    rowsAtTheEnd: await dataSource.manager.count(City),
    documentsAtTheEnd: await countDocuments(client, to),
  }
  process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`)
} finally {
  await pipeline.close()
  await cleanUp()
  await client.close()
  await dataSource.query(`DROP TABLE IF EXISTS ${table}`)
  await dataSource.destroy()
  await services.stop()
}

/** The cities of the demo, or made ones. */
async function citiesOf(wanted: string | undefined): Promise<City[]> {
  if (wanted !== undefined) {
    return Array.from({ length: Number(wanted) }, (_, i) => ({
      id: i + 1,
      name: `city number ${i + 1} by the river`,
      country: ['DE', 'FR', 'IT', 'PL'][i % 4]!,
      population: (i * 7_919) % 1_000_000,
    }))
  }
  const { cities } = await readSourceData()
  return cities.map(({ name, country }, i) => ({ id: i + 1, name, country, population: i }))
}

/** Documents a second when nothing but bulk requests is done, with the settings and the concurrency of a copy. */
async function rawBulk(cities: readonly City[]): Promise<number> {
  const physical = `${index}-raw`
  const { definition } = pipeline.site(index)
  const declared = declareIndex(definition)
  await createCopyIndex(client, definition, declared, physical)
  const bodies: string[] = []
  for (let first = 0; first < cities.length; first += documentsPerRequest) {
    const page = cities.slice(first, first + documentsPerRequest)
    bodies.push(
      page
        .map(
          (city) =>
            `{"index":{"_id":"${city.id}","version":1,"version_type":"external_gte"}}\n${JSON.stringify(documentOf(city))}\n`,
        )
        .join(''),
    )
  }
  const start = performance.now()
  const send = async (): Promise<void> => {
    for (let bulkBody = bodies.shift(); bulkBody !== undefined; bulkBody = bodies.shift())
      await client.transport.request({ method: 'POST', path: `/${physical}/_bulk`, bulkBody })
  }
  await Promise.all(Array.from({ length: Number(values.workers) }, send))
  await restoreSettings(client, declared, physical)
  return Math.round((cities.length * 1_000) / (performance.now() - start))
}

async function lagWhile(work: PromiseLike<unknown>): Promise<Lag> {
  const over = new AbortController()
  const lag = watchLag(pipeline, over.signal)
  await work
  over.abort()
  return lag
}

async function cleanUp(): Promise<void> {
  const redis = new Redis(redisUrl)
  const keys = await redis.keys(`${namespace}:*`)
  if (keys.length > 0) await redis.del(keys)
  redis.disconnect()
  const found = Object.keys(await client.indices.get({ index: `${index}*`, expand_wildcards: 'all' }))
  if (found.length > 0) await client.indices.delete({ index: found })
}

function note(line: string): void {
  process.stderr.write(`${line}\n`)
}
