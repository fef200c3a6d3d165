/**
 * What it costs that delay messages carry the id of their transaction: the lower quartile of writes by TypeORM without
 * Redstream, with it and `delay.ask: 'off'`, and with 'on', in turns in one run.
 *
 * Run: npm run bench:asking [-- ROUNDS CASE]   (DATABASE_URL and REDIS_URL, or embedded servers)
 */
import { randomBytes } from 'node:crypto'
import { cpus } from 'node:os'

import { Redis } from 'ioredis'
import { DataSource, EntitySchema } from 'typeorm'

import { startServices } from '../services/services.ts'
import { Indexed } from '../src/indexed.ts'
import { Redstream } from '../src/redstream.ts'
import { quantile, round } from './statistics.ts'

const space = `ask${randomBytes(4).toString('hex')}`

class City {
  id!: number
  name!: string
  population!: number
}
Indexed<City>({ index: `${space}-cities` })(City)
const schema = new EntitySchema<City>({
  name: 'City',
  target: City,
  tableName: 'cities',
  columns: {
    id: { type: 'integer', primary: true, generated: true },
    name: { type: 'text' },
    population: { type: 'integer' },
  },
})

const city = (population: number): Partial<City> => ({ name: 'Rome', population })
let turn = 1

/** Rounds of each case, as parts of ROUNDS, and what one does. */
const cases: Record<string, [part: number, write: (dataSource: DataSource) => Promise<unknown>]> = {
  'save: insert': [1, ({ manager }) => manager.save(City, city(turn++))],
  'save: update': [1, ({ manager }) => manager.save(City, { id: 1, ...city(turn++) })],
  'update(id)': [1, ({ manager }) => manager.update(City, 1, city(turn++))],
  'update(where), 1,000 rows': [
    0.05,
    ({ manager }) => manager.update(City, { name: 'many' }, { population: turn++ }),
  ],
  'transaction of 100 inserts': [
    0.05,
    (dataSource) =>
      dataSource.transaction(async (manager) => {
        for (let i = 0; i < 100; i++) await manager.save(City, city(turn++))
      }),
  ],
  'save of 1,000': [
    0.05,
    ({ manager }) =>
      manager.save(
        City,
        Array.from({ length: 1_000 }, () => city(turn++)),
      ),
  ],
}

/** Writes of one side before the next has its turn. */
const block = 10
const rounds = Number(process.argv[2] ?? 1_000)
const only = process.argv[3] ?? ''
const services = await startServices({ progress: (line) => void process.stderr.write(`${line}\n`) })
const redis = new Redis(services.redisUrl)
const sides: { name: string; dataSource: DataSource; redstream: Redstream | undefined }[] = []
try {
  for (const name of ['plain', 'off', 'on'] as const) {
    const options = { type: 'postgres', url: services.databaseUrl, schema: space, poolSize: 2 } as const
    const dataSource = await new DataSource({ ...options, entities: [schema] }).initialize()
    if (name === 'plain') {
      await dataSource.query(`CREATE SCHEMA ${space}`)
      await dataSource.synchronize()
    }
    const place = { redis: services.redisUrl, namespace: space }
    const redstream =
      name === 'plain' ? undefined : await Redstream.attach(dataSource, { ...place, delay: { ask: name } })
    sides.push({ name, dataSource, redstream })
  }
  await sides[0]!.dataSource.manager.save(City, city(0))
  const many = Array.from({ length: 1_000 }, () => ({ name: 'many', population: 0 }))
  await sides[0]!.dataSource.manager.insert(City, many)
  const result: Record<string, unknown> = { cores: cpus().length }
  for (const [name, [part, write]] of Object.entries(cases)) {
    if (!name.includes(only)) continue
    const times = new Map(sides.map((side) => [side.name, [] as number[]]))
    for (let i = 0; i < (rounds * part) / block; i++) {
      // Each has each place in the turn, because what runs before leaves something to be done.
      for (let turn = 0; turn < sides.length; turn++) {
        const { name: side, dataSource } = sides[(i + turn) % sides.length]!
        for (let k = 0; k < block; k++) {
          const start = performance.now()
          await write(dataSource)
          times.get(side)!.push(performance.now() - start)
        }
      }
    }
    // On a machine that has other things to do, the quicker quarter says more than the middle.
    const [plain = NaN, off = NaN, on = NaN] = sides.map((side) => quantile(times.get(side.name)!, 0.25))
    result[name] = {
      plainMs: round(plain),
      offMs: round(off),
      onMs: round(on),
      off: round(off / plain),
      on: round(on / plain),
      onOverOff: round(on / off),
    }
    process.stderr.write(`${name}: ${JSON.stringify(result[name])}\n`)
  }
  process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`)
} finally {
  const keys = await redis.keys(`${space}:*`)
  if (keys.length > 0) await redis.del(keys)
  redis.disconnect()
  for (const { redstream } of sides) await redstream?.close()
  await sides[0]?.dataSource.query(`DROP SCHEMA IF EXISTS ${space} CASCADE`)
  for (const { dataSource } of sides) await dataSource.destroy()
  await services.stop()
}
