import type { DataSource } from 'typeorm'

import { City } from './entities.ts'
import { median, round } from './statistics.ts'
import type { Site } from './site.ts'

export interface SaveResult {
  readonly plainMs: number
  readonly capturedMs: number
  readonly ratio: number
  /** Commands that Redis got for one write, by name. */
  readonly redisCommands: Record<string, number>
}

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

/** Writes of an application with Redstream against the same without, one by one in turns. */
export async function save(site: Site, write: keyof typeof writes): Promise<SaveResult> {
  const { rounds, write: act } = writes[write]
  const times = { plain: [] as number[], captured: [] as number[] }
  for (let i = 0; i < rounds / 20; i++) await Promise.all([act(site.plain), act(site.captured)])
  const before = await commandCounts(site)
  for (let i = 0; i < rounds; i++) {
    times.plain.push(await timed(() => act(site.plain)))
    times.captured.push(await timed(() => act(site.captured)))
  }
  const after = await commandCounts(site)
  const plainMs = median(times.plain)
  const capturedMs = median(times.captured)
  return {
    plainMs: round(plainMs),
    capturedMs: round(capturedMs),
    ratio: round(capturedMs / plainMs),
    redisCommands: Object.fromEntries(
      Object.entries(after)
        .map(([command, calls]) => [command, round((calls - (before[command] ?? 0)) / rounds)] as const)
        .filter(([command, calls]) => calls >= 0.5 && command !== 'info'),
    ),
  }
}

export async function timed(action: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await action()
  return performance.now() - start
}

async function commandCounts({ redis }: Site): Promise<Record<string, number>> {
  const info = await redis.info('commandstats')
  return Object.fromEntries(
    [...info.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(([, name, calls]) => [name!, Number(calls)]),
  )
}
