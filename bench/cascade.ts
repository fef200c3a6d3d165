/**
 * What lanes are for: a country is renamed, and its cities are indexed again, while single cities elsewhere are
 * edited. Measures the seconds until the last city of the country has the new name, and the median time from the
 * beginning of an edit until its document shows it; with lanes, and with everything in the main lane.
 *
 * Run: node bench/cascade.ts [CITIES [BATCH_SIZE]]   (DATABASE_URL, REDIS_URL and ELASTICSEARCH_URL, or embedded servers)
 */
import { randomBytes } from 'node:crypto'
import { cpus } from 'node:os'

import { Client } from '@elastic/elasticsearch'
import { Redis } from 'ioredis'
import { DataSource, EntitySchema } from 'typeorm'

import { Cascader } from '../src/cascade/cascader.ts'
import { cascadeGroup } from '../src/cascade/streams.ts'
import { resolveDefinitions } from '../src/definitions.ts'
import { Indexed } from '../src/indexed.ts'
import { Redstream } from '../src/redstream.ts'
import { pause } from '../src/runtime/backoff.ts'
import { createLogger } from '../src/runtime/pino-logger.ts'
import { settingsFrom } from '../src/runtime/settings.ts'
import { RedisConnections } from '../src/streams/connection.ts'
import { Consumer } from '../src/streams/consumer.ts'
import { Isolation } from '../src/streams/isolation.ts'
import type { Lane } from '../src/streams/keys.ts'
import type { Message } from '../src/streams/message.ts'
import { StreamWriter } from '../src/streams/stream-writer.ts'
import { openPipeline } from '../src/sync/pipeline.ts'
import { sourcesOf } from '../src/sync/sources.ts'
import { startServices } from '../services/services.ts'

const space = `bench_cascade_${randomBytes(4).toString('hex')}`
const cities = Number(process.argv[2] ?? 20_000)
const batchSize = Number(process.argv[3] ?? 1_000)
const elsewhere = 1_000
const editEveryMs = 200
/** How long edits are measured with nothing beside them. */
const idleMs = 5_000

class Country {
  code!: string
  name!: string
}
class City {
  id!: number
  name!: string
  country!: Country | null
}
// Plain TypeScript has no decorators: schemas, and the decorator as a function.
Indexed<City>({ index: `${space}-cities`, relations: { country: true } })(City)
const entities = [
  new EntitySchema<Country>({
    name: 'Country',
    target: Country,
    tableName: 'countries',
    columns: { code: { type: 'text', primary: true }, name: { type: 'text' } },
  }),
  new EntitySchema<City>({
    name: 'City',
    target: City,
    tableName: 'cities',
    columns: { id: { type: 'integer', primary: true }, name: { type: 'text' } },
    relations: { country: { type: 'many-to-one', target: 'Country' } },
  }),
]

/** Lanes off: whatever lane is asked for, messages go to the main one. */
class OneLane extends StreamWriter {
  override queue(messages: readonly Message[], _: Lane, passes: string): Promise<void> {
    return super.queue(messages, 'main', passes)
  }
}

const services = await startServices({ progress: (line) => void process.stderr.write(`${line}\n`) })
const { databaseUrl, redisUrl, elasticsearchUrl } = services
const dataSource = new DataSource({
  type: 'postgres',
  url: databaseUrl,
  schema: space,
  entities,
  poolSize: 20,
})
const client = new Client({ node: elasticsearchUrl })
const logger = createLogger({ level: 'warn' })
const settings = settingsFrom({ namespace: space, batchSize })

try {
  await dataSource.initialize()
  await dataSource.createQueryRunner().createSchema(space, true)
  await dataSource.synchronize()
  await dataSource.query(`INSERT INTO "${space}".countries VALUES ('XX', 'before'), ('YY', 'Elsewhere')`)
  await dataSource.query(
    `INSERT INTO "${space}".cities SELECT id, 'city', CASE WHEN id <= ${elsewhere} THEN 'YY' ELSE 'XX' END
     FROM generate_series(1, ${cities + elsewhere}) AS id`,
  )
  // The first rename makes the documents; it counts for neither.
  await measured(StreamWriter, 0)
  const result = {
    cores: cpus().length,
    cities,
    batchSize,
    on: await measured(StreamWriter, 1),
    off: await measured(OneLane, 2),
  }
  process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`)
} finally {
  await cleanUp()
}

/** One rename with edits beside it. */
async function measured(Writer: typeof StreamWriter, round: number): Promise<object> {
  const redstream = await Redstream.attach(dataSource, { redis: redisUrl, namespace: space, logger })
  const pipeline = await openPipeline(
    { dataSource, redis: redisUrl, elasticsearch: elasticsearchUrl, settings },
    logger,
  )
  await pipeline.init()
  const connections = new RedisConnections(redisUrl, settings.redisTimeoutMs, logger)
  const redis = connections.commands
  const sources = sourcesOf(space, resolveDefinitions(dataSource))
  const { paths, partitions } = sources.find((source) => source.index === undefined)!
  const writers = new Map(sources.map((source) => [source.definition, new Writer(redis, source.partitions)]))
  const handler = new Cascader({ dataSource, redis, paths, writers, logger }).handle
  const stopping = new AbortController()
  const workers = [
    ...pipeline.workers(['consumer'], [`${space}-cities`]),
    ...partitions.map(
      (partition) =>
        new Consumer({
          ...settings,
          connections,
          isolation: new Isolation(),
          partition,
          group: cascadeGroup,
          handler,
          logger,
        }),
    ),
  ]
  const runs = workers.map((worker) => worker.run(stopping.signal))
  try {
    const idle = await editing(`idle ${round}`, AbortSignal.timeout(idleMs))
    const start = performance.now()
    await dataSource.manager.save(Country, { code: 'XX', name: `name ${round}` })
    const rename = new AbortController()
    const edits = editing(`edit ${round}`, rename.signal)
    await redstream.drained({ timeout: 600_000 }).finally(() => rename.abort())
    const renameSeconds = (performance.now() - start) / 1_000
    const latencies = await edits
    await expectRenamed(`name ${round}`)
    return {
      renameSeconds: rounded(renameSeconds),
      idleEditMedianMs: rounded(median(idle)),
      edits: latencies.length,
      editMedianMs: rounded(median(latencies)),
      editWorstMs: rounded(Math.max(...latencies)),
    }
  } finally {
    stopping.abort()
    await Promise.all(runs)
    await connections.close()
    await pipeline.close()
    await redstream.close()
  }
}

/**
 * An edit every so many ms, whether the last one has arrived or not: who waits for one edit before the next would
 * measure few of the slow ones.
 *
 * @returns ms from the beginning of each save until its document shows it
 */
async function editing(name: string, signal: AbortSignal): Promise<number[]> {
  const edits: Promise<number>[] = []
  for (let id = 1; id <= elsewhere && !signal.aborted; id++) {
    edits.push(edit(id, name))
    await pause(editEveryMs, signal)
  }
  return Promise.all(edits)
}

async function edit(id: number, name: string): Promise<number> {
  const start = performance.now()
  await dataSource.manager.save(City, { id, name })
  for (;;) {
    const found = await client.get<City>({ index: `${space}-cities`, id: String(id) }, { ignore: [404] })
    if (found._source?.name === name) return performance.now() - start
    await pause(5)
  }
}

async function expectRenamed(name: string): Promise<void> {
  const index = `${space}-cities`
  await client.indices.refresh({ index })
  const { count } = await client.count({ index, query: { match: { 'country.name.keyword': name } } })
  if (count !== cities) throw new Error(`${count} of ${cities} cities have the new name of their country`)
}

async function cleanUp(): Promise<void> {
  const redis = new Redis(redisUrl)
  const keys = await redis.keys(`${space}:*`)
  if (keys.length > 0) await redis.del(keys)
  redis.disconnect()
  const indices = Object.keys(await client.indices.get({ index: `${space}-*` }))
  if (indices.length > 0) await client.indices.delete({ index: indices })
  await client.close()
  if (dataSource.isInitialized) {
    await dataSource.query(`DROP SCHEMA IF EXISTS "${space}" CASCADE`)
    await dataSource.destroy()
  }
  await services.stop()
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100
}
