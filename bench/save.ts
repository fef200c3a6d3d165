import { LessThanOrEqual, type DataSource } from 'typeorm'

import { City, space } from './entities.ts'
import { median, round } from './statistics.ts'
import type { Site } from './site.ts'

export interface SaveResult {
  readonly plainMs: number
  readonly capturedMs: number
  readonly ratio: number
  /** Commands that the application sent to Redis for one write, by name; not those that its scripts run there. */
  readonly redisCommands: Record<string, number>
  /** Of these commands, as the protocol of Redis writes them. */
  readonly redisBytes: number
}

/** Writes of one side before the other has its turn. */
const block = 10

const city = (population: number): Partial<City> => ({
  name: 'Rome',
  country: 'IT',
  latitude: 41.9,
  longitude: 12.5,
  population,
})

let turn = 1

const writes = {
  insert: {
    rounds: 1_000,
    write: (dataSource: DataSource) => dataSource.getRepository(City).save(city(turn++)),
  },
  update: {
    rounds: 1_000,
    write: (dataSource: DataSource) => dataSource.getRepository(City).save({ id: 1, ...city(turn++) }),
  },
  'transaction of 100': {
    rounds: 30,
    write: (dataSource: DataSource) =>
      dataSource.transaction(async (manager) => {
        for (let i = 0; i < 100; i++) await manager.getRepository(City).save(city(turn++))
      }),
  },
  'save of 1,000': {
    rounds: 30,
    write: (dataSource: DataSource) =>
      dataSource.getRepository(City).save(Array.from({ length: 1_000 }, () => city(turn++))),
  },
} as const satisfies Record<string, { rounds: number; write: (dataSource: DataSource) => Promise<unknown> }>

/**
 * Writes of an application with Redstream against the same without, in turns. A turn is several writes: what a captured one
 * leaves to be done after it has resolved falls upon the next captured one.
 */
export async function save(site: Site, write: keyof typeof writes): Promise<SaveResult> {
  const { rounds, write: act } = writes[write]
  for (let i = 0; i < rounds / 20; i++) await Promise.all([act(site.plain), act(site.captured)])
  const times = { plain: [] as number[], captured: [] as number[] }
  for (let i = 0; i < rounds / block; i++) {
    for (const side of ['plain', 'captured'] as const) {
      for (let k = 0; k < block; k++) times[side].push(await timed(() => act(site[side])))
    }
  }
  const plainMs = median(times.plain)
  const capturedMs = median(times.captured)
  return {
    plainMs: round(plainMs),
    capturedMs: round(capturedMs),
    ratio: round(capturedMs / plainMs),
    ...(await commandsOf(site, () => act(site.captured))),
  }
}

export interface UpdateResult {
  readonly rows: number
  /** `UPDATE … RETURNING id` by TypeORM, all ids in memory. */
  readonly plainMs: number
  /** `redstream.update`. */
  readonly capturedMs: number
  readonly ratio: number
  /** The same statement by TypeORM, with Redstream attached. */
  readonly statementMs: number
  readonly statementRatio: number
  readonly redisCommands: Record<string, number>
  readonly redisBytes: number
}

/** One statement that changes many rows, in turns. */
export async function update(site: Site, rounds: number): Promise<UpdateResult> {
  const rows = Math.min(100_000, site.rows)
  const times = { plain: [] as number[], captured: [] as number[], statement: [] as number[] }
  const where = { id: LessThanOrEqual(rows) }
  const set = (): { population: number } => ({ population: turn++ })
  const acts = {
    plain: () =>
      site.plain.createQueryBuilder().update(City).set(set()).where(where).returning('id').execute(),
    captured: () => site.redstream.update(City, where, set()),
    statement: () => site.captured.createQueryBuilder().update(City).set(set()).where(where).execute(),
  }
  await acts.plain()
  for (let i = 0; i < rounds; i++) {
    for (const side of ['plain', 'captured', 'statement'] as const) {
      times[side].push(await timed(acts[side]))
      // What Redis does with it after the call must not be counted as the next one's.
      await site.redstream.drained({ timeout: 0 }).catch(() => undefined)
    }
  }
  const [plainMs, capturedMs, statementMs] = [times.plain, times.captured, times.statement].map(median)
  return {
    rows,
    plainMs: round(plainMs!),
    capturedMs: round(capturedMs!),
    ratio: round(capturedMs! / plainMs!),
    statementMs: round(statementMs!),
    statementRatio: round(statementMs! / plainMs!),
    ...(await commandsOf(site, acts.captured)),
  }
}

export async function timed(action: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await action()
  return performance.now() - start
}

/** What `inspect` asks. */
const ofInspect = new Set(['xlen', 'xinfo', 'xrevrange', 'xrange', 'xpending', 'time', 'exists'])

async function commandsOf(
  { redis, redstream }: Site,
  write: () => Promise<unknown>,
): Promise<{ redisCommands: Record<string, number>; redisBytes: number }> {
  await redstream.drained({ timeout: 0 }).catch(() => undefined)
  const redisCommands: Record<string, number> = {}
  let redisBytes = 0
  const monitor = await redis.monitor()
  const ended = `${space} has written`
  const seen = new Promise<void>((resolve) => {
    monitor.on('monitor', (_: string, [name = '', ...args]: string[], source: string) => {
      if (args[0] === ended) resolve()
      // Others may use the same Redis.
      else if (source !== 'lua' && args.some((arg) => arg.startsWith(`${space}:`))) {
        const command = name.toLowerCase()
        if (ofInspect.has(command)) return
        redisCommands[command] = (redisCommands[command] ?? 0) + 1
        redisBytes += bytesOf([name, ...args])
      }
    })
  })
  await write()
  // On the connection of the writes, so after them.
  await redstream.inspect(`${space}-cities`)
  await redis.echo(ended)
  await seen
  monitor.disconnect()
  return { redisCommands, redisBytes }
}

/** A command as an array of bulk strings: https://redis.io/docs/latest/develop/reference/protocol-spec/ */
function bytesOf(parts: readonly string[]): number {
  const sizes = parts.map((part) => Buffer.byteLength(part))
  return sizes.reduce((sum, size) => sum + `$${size}\r\n\r\n`.length + size, `*${parts.length}\r\n`.length)
}
