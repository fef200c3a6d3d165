/**
 * What each way of capture costs who writes: the same writes on tables without it (`none`) and with it, in turns in one
 * process. Each side has tables of its own with the same rows, which are vacuumed between the turns. No worker runs:
 * what relays and consumers cost besides is theirs.
 *
 * Run: node bench/capture.ts [--only subscriber,outbox,trigger,wal] [--rounds 20]   (DATABASE_URL and REDIS_URL, or embedded servers)
 */
import { cpus } from 'node:os'

import { Command } from 'commander'
import { DataSource, EntitySchema } from 'typeorm'

import { watchedBy } from '../src/capture/watched-by.ts'
import { resolveDefinitions } from '../src/definitions.ts'
import { Indexed } from '../src/indexed.ts'
import { OutboxPart } from '../src/outbox/outbox-part.ts'
import { OutboxTable } from '../src/outbox/outbox-table.ts'
import { TriggersPart } from '../src/outbox/triggers/triggers-part.ts'
import { Redstream } from '../src/redstream.ts'
import { startServices, type Services } from '../services/services.ts'
import { timed } from './save.ts'
import { median, quantile, round } from './statistics.ts'

const space = process.env['BENCH_SPACE'] ?? 'bench_capture'

class City {
  id!: number
  name!: string
  country!: string
  latitude!: number
  longitude!: number
  population!: number
  note!: string
}
Indexed<City>({ index: `${space}-cities` })(City)
const schema = new EntitySchema<City>({
  name: 'City',
  target: City,
  tableName: 'cities',
  columns: {
    id: { type: 'integer', primary: true, generated: true },
    name: { type: 'text' },
    country: { type: 'text' },
    latitude: { type: 'double precision' },
    longitude: { type: 'double precision' },
    population: { type: 'integer' },
    note: { type: 'text' },
  },
  indices: [{ columns: ['country'] }],
})

/** Switches a way of capture on; returns what switches it off. */
type Mode = (dataSource: DataSource, services: Services, name: string) => Promise<() => Promise<unknown>>

const modes: Record<string, Mode> = {
  subscriber: async (dataSource, { redisUrl }, name) => {
    const redstream = await Redstream.attach(dataSource, { redis: redisUrl, namespace: name })
    return () => redstream.close()
  },
  outbox: async (dataSource, _, captureSchema) => {
    await new OutboxPart(new OutboxTable(dataSource, captureSchema)).apply()
    const redstream = await Redstream.attach(dataSource, { capture: 'outbox', captureSchema })
    return async () => {
      await redstream.close()
      await dataSource.query(`DROP SCHEMA "${captureSchema}" CASCADE`)
    }
  },
  trigger: async (dataSource, _, captureSchema) => {
    await new OutboxPart(new OutboxTable(dataSource, captureSchema)).apply()
    const { tables } = watchedBy(['trigger'], dataSource, resolveDefinitions(dataSource), 'trigger')
    await new TriggersPart(dataSource, captureSchema, tables).apply()
    return () => dataSource.query(`DROP SCHEMA "${captureSchema}" CASCADE`)
  },
  // What the slot makes the server write and keep. Reading it costs a process of the server besides.
  wal: async (dataSource, _, name) => {
    await dataSource.query(`CREATE PUBLICATION "${name}" FOR TABLE cities`)
    await dataSource.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [name])
    return async () => {
      await dataSource.query(`SELECT pg_drop_replication_slot($1)`, [name])
      await dataSource.query(`DROP PUBLICATION "${name}"`)
    }
  },
}

interface Side {
  readonly name: string
  readonly dataSource: DataSource
  readonly close: () => Promise<void>
}

const tableRows = 100_000
let turn = 1

const cases: Record<string, { rounds: number; write: (dataSource: DataSource) => Promise<unknown> }> = {
  save: {
    rounds: 20,
    write: ({ manager }) => manager.save(City, { id: 1, population: turn++ }),
  },
  insert: {
    rounds: 20,
    write: ({ manager }) => manager.insert(City, { ...city, population: turn++ }),
  },
  transactionOf100: {
    rounds: 1,
    write: (dataSource) =>
      dataSource.transaction(async (manager) => {
        for (let id = 1; id <= 100; id++) await manager.save(City, { id, population: turn++ })
      }),
  },
  updateOf20000: {
    rounds: 0.5,
    write: (dataSource) => dataSource.query(`UPDATE cities SET population = $1 WHERE id <= 20000`, [turn++]),
  },
}

const city = { name: 'Rome', country: 'IT', latitude: 41.9, longitude: 12.5, note: 'x'.repeat(60) }

const options = new Command('npm run bench:capture --')
  .description('Measures what each way of capture costs who writes.')
  .option('--only <modes>', `some of ${Object.keys(modes).join(', ')}`, Object.keys(modes).join(','))
  .option('--rounds <n>', 'repetitions', '20')
  .parse()
  .opts<{ only: string; rounds: string }>()

const services = await startServices({ progress: (line) => void process.stderr.write(`${line}\n`) })
const sides: Side[] = []
try {
  for (const name of ['none', ...options.only.split(',')]) sides.push(await open(name))
  const result: Record<string, unknown> = {
    cores: cpus().length,
    relay: 'not running',
    follower: 'not running',
  }
  for (const [name, { rounds, write }] of Object.entries(cases))
    result[name] = await measure(Math.ceil(Number(options.rounds) * rounds), write)
  process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`)
} finally {
  for (const side of sides) await side.close()
  await services.stop()
}

async function open(name: string): Promise<Side> {
  const mode = modes[name]
  if (mode === undefined && name !== 'none') throw new Error(`there is no mode "${name}"; see --help`)
  const place = `${space}_${name}`
  const dataSource = await new DataSource({
    type: 'postgres',
    url: services.databaseUrl,
    schema: place,
    entities: [schema],
    poolSize: 2,
    extra: { options: `-c search_path=${place}` },
  }).initialize()
  await dataSource.query(`DROP SCHEMA IF EXISTS ${place} CASCADE; CREATE SCHEMA ${place}`)
  await dataSource.synchronize()
  await dataSource.query(
    `INSERT INTO cities (name, country, latitude, longitude, population, note)
     SELECT 'city ' || i, 'C' || i % 200, i, i, i, $1 FROM generate_series(1, $2::int) i`,
    [city.note, tableRows],
  )
  const off = await mode?.(dataSource, services, `${place}_capture`)
  const close = async (): Promise<void> => {
    await off?.()
    await dataSource.query(`DROP SCHEMA ${place} CASCADE`)
    await dataSource.destroy()
  }
  return { name, dataSource, close }
}

/** The times of a write on each side, and how they compare with those of `none`, in the median and at their best. */
async function measure(
  rounds: number,
  write: (dataSource: DataSource) => Promise<unknown>,
): Promise<Record<string, { ms: number; ratio: number; bestRatio: number }>> {
  const times = new Map(sides.map(({ name }) => [name, [] as number[]]))
  for (const { dataSource } of sides) await write(dataSource)
  for (let i = 0; i < rounds; i++) {
    for (let k = 0; k < sides.length; k++) {
      // Whoever comes first is another one each time.
      const { name, dataSource } = sides[(i + k) % sides.length]!
      times.get(name)!.push(await timed(() => write(dataSource)))
    }
    if (i % 10 === 9 || rounds < 50)
      for (const { dataSource } of sides) await dataSource.query('VACUUM cities')
  }
  const plain = times.get('none')!
  const best = (values: readonly number[]): number => quantile(values, 0)
  return Object.fromEntries(
    [...times].map(([name, values]) => {
      const ratio = round(median(values) / median(plain))
      return [name, { ms: round(median(values)), ratio, bestRatio: round(best(values) / best(plain)) }]
    }),
  )
}
