import { DataSource, In, type EntityManager, type ObjectLiteral } from 'typeorm'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { Redstream } from '../../src/redstream.ts'
import { partitionsOf } from '../../src/streams/keys.ts'
import { decodeMessages } from '../../src/streams/message.ts'
import { published, recordingLogger } from '../support/captured.ts'
import { testSpace, type TestSpace } from '../support/services.ts'
import { exactEntities } from './exact-entities.ts'

/** Rows that go with others, whichever call of TypeORM deletes those. */

let space: TestSpace
let dataSource: DataSource
let entities: ReturnType<typeof exactEntities>

beforeAll(async () => {
  space = await testSpace()
  entities = exactEntities(space.indexPrefix)
  dataSource = await new DataSource({
    ...space.dataSourceOptions(Object.values(entities)),
    synchronize: true,
  }).initialize()
})
afterAll(async () => {
  await dataSource.destroy()
  await space.dispose()
})

/** Three cities, whose visits go with them, and lose their country with it. */
beforeEach(async () => {
  await dataSource.query('TRUNCATE cities, countries, visits, notes RESTART IDENTITY CASCADE')
  await dataSource.query("INSERT INTO countries VALUES ('FR', 'France'), ('IT', 'Italy')")
  await dataSource.query("INSERT INTO cities (name, version) VALUES ('Rome', 1), ('Oslo', 1), ('Bern', 1)")
  await dataSource.query(
    `INSERT INTO visits (number, day, "cityId", "fromCode")
     VALUES (1, 'mon', 1, 'FR'), (2, 'mon', 1, 'IT'), (3, 'tue', 2, 'FR'), (4, 'tue', 3, 'IT')`,
  )
})

let redstream: Redstream

async function ids(name: 'cities' | 'visits', stream: 'main' | 'delay' = 'main'): Promise<string[]> {
  await published(redstream)
  const [partition] = partitionsOf(space.namespace, space.indexPrefix + name, 1)
  const entries = await space.redis().xrange(partition!.keys[stream], '-', '+')
  return entries.flatMap(([, fields]) => decodeMessages(fields)).map(({ id }) => id)
}

const visitsOf: Record<string, string[]> = {
  Rome: ['1:mon', '2:mon'],
  Oslo: ['3:tue'],
  France: ['1:mon', '3:tue'],
}

type Call = [name: string, run: (manager: EntityManager) => Promise<unknown>, visits: string[]]

const city = (id: number): ObjectLiteral => Object.assign(new entities.City(), { id })

const byEntity: Call[] = [
  ['remove(entity)', (manager) => manager.remove(city(1)), visitsOf['Rome']!],
  [
    'remove([entities])',
    (manager) => manager.remove([city(1), city(2)]),
    [...visitsOf['Rome']!, ...visitsOf['Oslo']!],
  ],
  [
    'remove(entity, { transaction: false })',
    (manager) => manager.remove(city(2), { transaction: false }),
    visitsOf['Oslo']!,
  ],
  [
    'remove(an entity that nobody follows)',
    (manager) => manager.remove(Object.assign(new entities.Country(), { code: 'FR' })),
    visitsOf['France']!,
  ],
]

const byStatement: Call[] = [
  ['delete(id)', (manager) => manager.delete(entities.City, 1), visitsOf['Rome']!],
  [
    'delete(criteria)',
    (manager) => manager.delete(entities.City, { name: In(['Rome', 'Oslo']) }),
    [...visitsOf['Rome']!, ...visitsOf['Oslo']!],
  ],
  [
    'delete of an entity that nobody follows',
    (manager) => manager.delete(entities.Country, { name: 'France' }),
    visitsOf['France']!,
  ],
  ['delete of nothing', (manager) => manager.delete(entities.City, { name: 'Atlantis' }), []],
]

describe.each([
  [
    'by the statements',
    { returning: 'on', outsideTransaction: 'wrap' } as const,
    [...byEntity, ...byStatement],
  ],
  ['by the statements alone', { returning: 'on', outsideTransaction: 'publish' } as const, byStatement],
  ['by the events', { returning: 'off' } as const, byEntity],
])('%s', (_, settings, calls) => {
  beforeEach(async () => {
    redstream = await Redstream.attach(dataSource, {
      redis: space.redisUrl,
      namespace: space.namespace,
      logger: recordingLogger([]),
      uncaptured: 'ignore',
      ...settings,
    })
  })
  afterEach(async () => {
    await redstream.close()
    const redis = space.redis()
    const keys = await redis.keys(`${space.namespace}*`)
    if (keys.length > 0) await redis.del(...keys)
  })

  test.each(calls)('%s', async (_, run, visits) => {
    await run(dataSource.manager)
    expect((await ids('visits')).toSorted()).toEqual(visits)
    expect(await ids('visits', 'delay')).toEqual([])
  })

  test.each(calls)('%s, in a transaction that is rolled back', async (_, run) => {
    const failed = dataSource.transaction(async (manager) => {
      await run(manager)
      throw new Error('no')
    })
    await expect(failed).rejects.toThrow('no')
    expect(await ids('visits')).toEqual([])
    await expect.poll(() => ids('visits', 'delay')).toEqual([])
  })
})
