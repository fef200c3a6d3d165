/**
 * What a captured save costs: the median of single saves with Redstream attached against the same saves without,
 * interleaved in one run, and the Redis commands that one save sends.
 *
 * Run: npm run bench:save [-- ROUNDS]   (DATABASE_URL and REDIS_URL, or embedded servers)
 */
import { cpus } from 'node:os'

import { Redis } from 'ioredis'
import { DataSource, EntitySchema } from 'typeorm'

import { startServices } from '../services/services.ts'
import { Indexed } from '../src/indexed.ts'
import { Redstream } from '../src/redstream.ts'

class City {
  id!: number
  name!: string
  population!: number
}
// Plain TypeScript has no decorators: a schema, and the decorator as a function.
Indexed<City>({ index: 'bench-save-cities' })(City)
const schema = new EntitySchema<City>({
  name: 'City',
  target: City,
  tableName: 'bench_save_cities',
  columns: {
    id: { type: 'integer', primary: true, generated: true },
    name: { type: 'text' },
    population: { type: 'integer' },
  },
})

const rounds = Number(process.argv[2] ?? 2_000)
const services = await startServices({ progress: (line) => void process.stderr.write(`${line}\n`) })
const connect = (synchronize: boolean): Promise<DataSource> =>
  new DataSource({
    type: 'postgres',
    url: services.databaseUrl,
    entities: [schema],
    synchronize,
    poolSize: 2,
  }).initialize()
const plain = await connect(true)
const captured = await connect(false)
const redstream = await Redstream.attach(captured, { redis: services.redisUrl, namespace: 'bench-save' })
const redis = new Redis(services.redisUrl)

const cases: Record<string, (dataSource: DataSource) => Promise<unknown>> = {
  insert: (dataSource) => dataSource.getRepository(City).save({ name: 'Rome', population: 1 }),
  update: async (dataSource) => {
    updates += 1
    await dataSource.getRepository(City).save({ id: 1, name: 'Rome', population: updates })
  },
  'transaction of 100': (dataSource) =>
    dataSource.transaction(async (manager) => {
      for (let i = 0; i < 100; i++) await manager.getRepository(City).save({ name: 'Rome', population: i })
    }),
  'save of 1,000': (dataSource) =>
    dataSource
      .getRepository(City)
      .save(Array.from({ length: 1_000 }, (_, i) => ({ name: 'Rome', population: i }))),
}
let updates = 0

try {
  const result: Record<string, unknown> = { cores: cpus().length }
  await cases['insert']!(plain)
  for (const [name, write] of Object.entries(cases)) {
    const count = name.includes('of') ? Math.max(5, Math.round(rounds / 50)) : rounds
    const times = { plain: [] as number[], captured: [] as number[] }
    const before = await commandCounts()
    for (let i = 0; i < count; i++) {
      times.plain.push(await timed(() => write(plain)))
      times.captured.push(await timed(() => write(captured)))
    }
    const after = await commandCounts()
    const plainMs = median(times.plain)
    const capturedMs = median(times.captured)
    result[name] = {
      plainMs: round(plainMs),
      capturedMs: round(capturedMs),
      ratio: round(capturedMs / plainMs),
      redisCommandsPerWrite: Object.fromEntries(
        Object.entries(after)
          .map(([command, calls]) => [command, (calls - (before[command] ?? 0)) / count] as const)
          .filter(([command, calls]) => calls >= 0.5 && command !== 'info'),
      ),
    }
  }
  process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`)
} finally {
  const keys = await redis.keys('bench-save:*')
  if (keys.length > 0) await redis.del(keys)
  redis.disconnect()
  await redstream.close()
  await captured.destroy()
  await plain.query('DROP TABLE IF EXISTS bench_save_cities')
  await plain.destroy()
  await services.stop()
}

async function timed(action: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await action()
  return performance.now() - start
}

async function commandCounts(): Promise<Record<string, number>> {
  const info = await redis.info('commandstats')
  return Object.fromEntries(
    [...info.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(([, name, calls]) => [name!, Number(calls)]),
  )
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
}

function round(value: number): number {
  return Math.round(value * 1_000) / 1_000
}
