/**
 * What verify costs, and whether it names what it should: 171,075 rows and their documents, of which 100 are deleted,
 * 100 changed and 100 added by hand, while rows are saved, inserted and removed. Each verify is a process of its own.
 *
 * Run: npm run bench:verify [-- ROWS]   (DATABASE_URL, REDIS_URL and ELASTICSEARCH_URL, or embedded servers)
 */
import { cpus } from 'node:os'

import { execa } from 'execa'
import { DataSource, EntitySchema } from 'typeorm'

import { startServices } from '../services/services.ts'
import { Indexed } from '../src/indexed.ts'
import { Redstream } from '../src/redstream.ts'
import { createLogger } from '../src/runtime/pino-logger.ts'
import { settingsFrom } from '../src/runtime/settings.ts'
import { openPipeline, type Pipeline } from '../src/sync/pipeline.ts'
import { verifyIndex } from '../src/verify/verify.ts'

const index = 'bench-verify-cities'
const table = 'bench_verify_cities'
const namespace = 'bench-verify'

class City {
  id!: number
  name!: string
  country!: string
  population!: number
}
Indexed<City>({ index })(City)
const schema = new EntitySchema<City>({
  name: 'City',
  target: City,
  tableName: table,
  columns: {
    id: { type: 'integer', primary: true, generated: true },
    name: { type: 'text' },
    country: { type: 'text' },
    population: { type: 'integer' },
  },
})

const [what = '171075', ...options] = process.argv.slice(2)
if (what === 'verify') await verify(options.includes('repair'))
else await bench(Number(what))

/** One verify; prints its report, seconds and peak memory. */
async function verify(repair: boolean): Promise<void> {
  const dataSource = await connect(process.env['DATABASE_URL'] ?? '', false)
  const pipeline = await open(
    dataSource,
    process.env['REDIS_URL'] ?? '',
    process.env['ELASTICSEARCH_URL'] ?? '',
  )
  const begin = performance.now()
  const { examples: _, ...report } = await verifyIndex(pipeline.site(index), {
    scope: { kind: 'all' },
    repair,
    examples: 10,
    patienceMs: 60_000,
    signal: new AbortController().signal,
  })
  const seconds = (performance.now() - begin) / 1_000
  const result = {
    ...report,
    seconds: Math.round(seconds * 10) / 10,
    rowsPerSecond: Math.round(report.rows / seconds),
    peakMiB: Math.round(process.resourceUsage().maxRSS / 1024),
  }
  process.stdout.write(JSON.stringify(result))
  await pipeline.close()
  await dataSource.destroy()
}

async function bench(rows: number): Promise<void> {
  const services = await startServices({ progress: (line) => void process.stderr.write(`${line}\n`) })
  const { databaseUrl, redisUrl, elasticsearchUrl } = services
  const dataSource = await connect(databaseUrl, true)
  const redstream = await Redstream.attach(dataSource, { redis: redisUrl, namespace })
  const pipeline = await open(dataSource, redisUrl, elasticsearchUrl)
  const stopping = new AbortController()
  try {
    await pipeline.init()
    const kinds = ['consumer', 'delayer', 'trimmer'] as const
    const runs = pipeline.workers(kinds).map((worker) => worker.run(stopping.signal))
    await dataSource.query(
      `INSERT INTO ${table} (name, country, population)
        SELECT 'city ' || n, chr(65 + n % 26) || chr(65 + n % 7), n FROM generate_series(1, ${rows}) n`,
    )
    await redstream.bulkQueue(City, {})
    await redstream.drained({ timeout: 600_000 })
    await drift(pipeline)
    const writing = new AbortController()
    const writes = write(dataSource, rows, writing.signal)
    const env = { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl, ELASTICSEARCH_URL: elasticsearchUrl }
    const run = async (...args: string[]): Promise<unknown> => {
      const { stdout } = await execa(process.execPath, [import.meta.filename, 'verify', ...args], { env })
      return JSON.parse(stdout)
    }
    const result = {
      cores: cpus().length,
      'under writes, 300 differences': await run(),
      'under writes, repair': await run('repair'),
      'under writes, clean': await run(),
      writes: 0,
      'at rest, clean': undefined as unknown,
    }
    writing.abort()
    result.writes = await writes
    await redstream.drained()
    result['at rest, clean'] = await run()
    process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`)
    stopping.abort()
    await Promise.all(runs)
  } finally {
    stopping.abort()
    const { client, redis, partitions } = pipeline.site(index)
    const physical = Object.keys(await client.indices.getAlias({ name: index }, { ignore: [404] }))
    await client.indices.delete({ index: physical, ignore_unavailable: true })
    for (const { keys } of partitions) await redis.del(...Object.values(keys))
    await redstream.close()
    await pipeline.close()
    await dataSource.query(`DROP TABLE IF EXISTS ${table}`)
    await dataSource.destroy()
    await services.stop()
  }
}

function connect(url: string, synchronize: boolean): Promise<DataSource> {
  return new DataSource({ type: 'postgres', url, entities: [schema], synchronize }).initialize()
}

function open(dataSource: DataSource, redis: string, elasticsearch: string): Promise<Pipeline> {
  const config = { dataSource, redis, elasticsearch, settings: settingsFrom({ namespace }) }
  return openPipeline(config, createLogger({ level: 'warn' }))
}

async function drift(pipeline: Pipeline): Promise<void> {
  const ids = (from: number): string[] => Array.from({ length: 100 }, (_, i) => String(from + i * 7))
  await pipeline.site(index).client.bulk({
    index,
    operations: [
      ...ids(1).map((_id) => ({ delete: { _id } })),
      ...ids(2).flatMap((_id) => [{ update: { _id } }, { doc: { name: 'changed by hand' } }]),
      ...ids(1_000_000_000).flatMap((_id) => [{ index: { _id } }, { name: 'added by hand' }]),
    ],
  })
}

/** Saves, inserts and removes rows that {@link drift} leaves alone; returns how often. */
async function write(dataSource: DataSource, rows: number, signal: AbortSignal): Promise<number> {
  const repository = dataSource.getRepository(City)
  let count = 0
  for (let id = 1_000; !signal.aborted && id < rows; id += 3) {
    await repository.save({ id, name: `written ${id}` })
    await repository.save({ name: `new ${id}`, country: 'XX', population: id })
    await repository.remove(Object.assign(new City(), { id: id + 1 }))
    count += 3
  }
  return count
}
