/**
 * What it costs that statements say which rows they change: the median of writes by TypeORM's query builders without
 * Redstream, with it (`outsideTransaction` wrap and publish), and with `returning: 'off'` (which loses these writes),
 * interleaved in one run.
 *
 * Run: node bench/statement-cost.ts [ROUNDS]   (DATABASE_URL and REDIS_URL, or embedded servers)
 */
import { cpus } from 'node:os'

import { Redis } from 'ioredis'
import { DataSource, EntitySchema, type EntityManager } from 'typeorm'

import { startServices } from '../services/services.ts'
import { Indexed } from '../src/indexed.ts'
import { Redstream, type AttachOptions } from '../src/redstream.ts'

class City {
  id!: number
  name!: string
  population!: number
}
Indexed<City>({ index: 'bench-statement-cities' })(City)
const schema = new EntitySchema<City>({
  name: 'City',
  target: City,
  tableName: 'bench_statement_cities',
  columns: {
    id: { type: 'integer', primary: true, generated: true },
    name: { type: 'text' },
    population: { type: 'integer' },
  },
})

const variants: Record<string, AttachOptions | undefined> = {
  plain: undefined,
  off: { returning: 'off', uncaptured: 'ignore' },
  publish: { outsideTransaction: 'publish' },
  wrap: { outsideTransaction: 'wrap' },
}
const inside = (dataSource: DataSource, write: (manager: EntityManager) => Promise<unknown>) =>
  dataSource.transaction(write)
const cases: Record<string, (dataSource: DataSource) => Promise<unknown>> = {
  'update(id)': ({ manager }) => manager.update(City, 1, { population: 5 }),
  'insert()': ({ manager }) => manager.insert(City, { name: 'Rome', population: -1 }),
  'update(id) in a transaction': (dataSource) =>
    inside(dataSource, (manager) => manager.update(City, 1, { population: 5 })),
  '10 updates in a transaction': (dataSource) =>
    inside(dataSource, async (manager) => {
      for (let id = 1; id <= 10; id++) await manager.update(City, id, { population: 5 })
    }),
  'update(where), 1,000 rows': ({ manager }) => manager.update(City, { name: 'many' }, { population: 5 }),
}

const rounds = Number(process.argv[2] ?? 1_000)
const services = await startServices({ progress: (line) => void process.stderr.write(`${line}\n`) })
const redis = new Redis(services.redisUrl)
const sides: { name: string; dataSource: DataSource; redstream: Redstream | undefined }[] = []
try {
  for (const [name, options] of Object.entries(variants)) {
    const url = services.databaseUrl
    const synchronize = sides.length === 0
    const entities = [schema]
    const dataSource = new DataSource({ type: 'postgres', url, entities, synchronize, poolSize: 2 })
    await dataSource.initialize()
    const place = { redis: services.redisUrl, namespace: 'bench-statement' }
    const redstream = options && (await Redstream.attach(dataSource, { ...place, ...options }))
    sides.push({ name, dataSource, redstream })
  }
  const { manager } = sides[0]!.dataSource
  const rows = Array.from({ length: 1_010 }, (_, i) => ({ name: i < 10 ? 'few' : 'many', population: i }))
  await manager.insert(City, rows)
  const result: Record<string, unknown> = { cores: cpus().length }
  for (const [name, write] of Object.entries(cases)) {
    const count = name.includes('rows') ? Math.max(5, Math.round(rounds / 20)) : rounds
    const times = new Map(sides.map((side) => [side.name, [] as number[]]))
    for (let i = 0; i < count; i++) {
      for (const { name: side, dataSource } of sides) {
        const start = performance.now()
        await write(dataSource)
        times.get(side)!.push(performance.now() - start)
      }
    }
    const plain = median(times.get('plain')!)
    result[name] = Object.fromEntries(
      [...times].map(([side, values]) => [
        side,
        { ms: round(median(values)), ratio: round(median(values) / plain) },
      ]),
    )
  }
  process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`)
} finally {
  const keys = await redis.keys('bench-statement:*')
  if (keys.length > 0) await redis.del(keys)
  redis.disconnect()
  for (const { redstream } of sides) await redstream?.close()
  await sides[0]?.dataSource.query('DROP TABLE IF EXISTS bench_statement_cities')
  for (const { dataSource } of sides) await dataSource.destroy()
  await services.stop()
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
}

function round(value: number): number {
  return Math.round(value * 1_000) / 1_000
}
