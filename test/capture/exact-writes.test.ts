import { DataSource, In, IsNull, LessThan, MoreThan } from 'typeorm'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { Redstream, type AttachOptions } from '../../src/redstream.ts'
import { Delayer } from '../../src/streams/delayer.ts'
import { partitionsOf, type Partition } from '../../src/streams/keys.ts'
import { decodeMessages, type Message } from '../../src/streams/message.ts'
import { defineScripts } from '../../src/streams/scripts.ts'
import { published, recordingLogger, type LogLine } from '../support/captured.ts'
import { testSpace, type TestSpace } from '../support/services.ts'
import { exactEntities } from './exact-entities.ts'

let space: TestSpace
let dataSource: DataSource
let redstream: Redstream
let entities: ReturnType<typeof exactEntities>
const log: LogLine[] = []

beforeAll(async () => {
  space = await testSpace()
  entities = exactEntities(space.indexPrefix)
  dataSource = await new DataSource({
    ...space.dataSourceOptions(Object.values(entities)),
    synchronize: true,
  }).initialize()
  redstream = await attach()
})
afterAll(async () => {
  await redstream.close()
  await dataSource.destroy()
  await space.dispose()
})
beforeEach(async () => {
  log.length = 0
  await dataSource.query('TRUNCATE cities, countries, visits, notes RESTART IDENTITY CASCADE')
  await dataSource.query("INSERT INTO countries VALUES ('FR', 'France'), ('IT', 'Italy')")
  await clearStreams()
})

function attach(options: AttachOptions = {}): Promise<Redstream> {
  return Redstream.attach(dataSource, {
    redis: space.redisUrl,
    namespace: space.namespace,
    logger: recordingLogger(log),
    uncaptured: 'throw',
    ...options,
  })
}

type Stream = 'main' | 'bulk' | 'delay'

function partition(name: 'cities' | 'visits'): Partition {
  return partitionsOf(space.namespace, space.indexPrefix + name, 1)[0]!
}

async function messages(name: 'cities' | 'visits', stream: Stream): Promise<Message[]> {
  await published(redstream)
  const entries = await space.redis().xrange(partition(name).keys[stream], '-', '+')
  return entries.flatMap(([, fields]) => decodeMessages(fields))
}

async function ids(stream: Stream, name: 'cities' | 'visits' = 'cities'): Promise<string[]> {
  return (await messages(name, stream)).map(({ id }) => id)
}

async function clearStreams(): Promise<void> {
  const keys = (['cities', 'visits'] as const).flatMap((name) => {
    const { main, bulk, delay } = partition(name).keys
    return [main, bulk, delay]
  })
  await space.redis().del(...keys)
}

/** Rows with the ids from 1 on. */
async function cities(count: number, country = 'NULL'): Promise<void> {
  await dataSource.query(
    `INSERT INTO cities (name, population, "countryCode", version)
     SELECT 'city ' || n, n % 2, ${country}, 1 FROM generate_series(1, ${count}) n`,
  )
}

const upTo = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i + 1))

describe('update', () => {
  test('one transaction: delay messages before the commit, the main lane after it', async () => {
    const { City } = entities
    await cities(6)
    await dataSource.transaction(async (manager) => {
      const { affected } = await redstream.update(City, { population: 1 }, { name: 'odd' }, { manager })
      expect(affected).toBe(3)
      await expect.poll(() => ids('delay')).toEqual(['1', '3', '5'])
      expect(await ids('main')).toEqual([])
    })
    expect(await ids('main')).toEqual(['1', '3', '5'])
    expect(await ids('delay')).toEqual([])
    const odd = await dataSource.manager.findBy(City, { name: 'odd' })
    // What TypeORM's own update sets, ours sets too.
    expect(odd.map(({ id, version }) => [id, version])).toEqual([
      [1, 2],
      [3, 2],
      [5, 2],
    ])
  })

  test('expressions, operators, several alternatives, soft-deleted rows', async () => {
    const { City } = entities
    await cities(6)
    await dataSource.query('UPDATE cities SET "deletedAt" = now() WHERE id = 2')
    const { affected } = await redstream.update(
      City,
      [{ id: LessThan(3) }, { name: In(['city 5', 'nobody']) }],
      { population: () => 'population + 10' },
    )
    expect(affected).toBe(3)
    expect((await ids('main')).toSorted()).toEqual(['1', '2', '5'])
    const rows = await dataSource.manager.find(City, { withDeleted: true, order: { id: 'ASC' } })
    expect(rows.map(({ population }) => population)).toEqual([11, 10, 1, 0, 11, 0])
  })

  test('criteria over relations, to one and to many', async () => {
    const { City, Visit } = entities
    await cities(3, "'FR'")
    await cities(3, "'IT'")
    await dataSource.manager.insert(Visit, [
      { number: 1, day: 'mon', city: { id: 4 } },
      { number: 2, day: 'mon', city: { id: 4 } },
      { number: 3, day: 'tue', city: { id: 5 } },
    ])
    await clearStreams()
    expect(await redstream.update(City, { country: { name: 'France' } }, { population: 7 })).toEqual({
      affected: 3,
    })
    expect(await ids('main')).toEqual(['1', '2', '3'])
    await clearStreams()
    expect(await redstream.update(City, { visits: { day: 'mon' } }, { population: 8 })).toEqual({
      affected: 1,
    })
    expect(await ids('main')).toEqual(['4'])
  })

  test('nothing that matches: no message, no warning', async () => {
    await cities(2)
    expect(await redstream.update(entities.City, { id: 99 }, { name: 'x' })).toEqual({ affected: 0 })
    expect([...(await ids('main')), ...(await ids('delay')), ...log]).toEqual([])
  })

  test('rolled back, with the transaction or a savepoint', async () => {
    const { City } = entities
    await cities(4)
    const failed = dataSource.transaction(async (manager) => {
      await redstream.update(City, { id: 1 }, { name: 'x' }, { manager })
      throw new Error('no')
    })
    await expect(failed).rejects.toThrow('no')
    await expect.poll(() => ids('delay')).toEqual([])
    await dataSource.transaction(async (manager) => {
      await redstream.update(City, { id: 2 }, { name: 'x' }, { manager })
      await manager
        .transaction(async (inner) => {
          await redstream.update(City, { id: 3 }, { name: 'x' }, { manager: inner })
          throw new Error('no')
        })
        .catch(() => undefined)
    })
    expect(await ids('main')).toEqual(['2'])
  })

  test('a row that another transaction makes match at the last moment is changed and named', async () => {
    const { City } = entities
    await cities(3)
    const other = dataSource.createQueryRunner()
    await other.startTransaction()
    // Row 2 does not match yet, and row 1 does not match any more once this is committed.
    await other.query('UPDATE cities SET population = CASE id WHEN 1 THEN 0 ELSE 1 END WHERE id < 3')
    const writing = redstream.update(City, { population: 1 }, { name: 'found' })
    await expect.poll(async () => waitingForLocks('cities')).toBe(true)
    await other.query("INSERT INTO cities (name, population, version) VALUES ('late', 1, 1)")
    await other.commitTransaction()
    await other.release()
    const { affected } = await writing
    const found = await dataSource.manager.find(City, { where: { name: 'found' }, order: { id: 'ASC' } })
    expect(found).toHaveLength(affected)
    expect(await ids('main')).toEqual(found.map(({ id }) => String(id)))
    expect(found.map(({ id }) => id)).not.toContain(1)
  })

  test('two at once: each row is changed by one of them', async () => {
    const { City } = entities
    await cities(200)
    const set = { population: () => 'population + 100' }
    const results = await Promise.all([
      redstream.update(City, { population: LessThan(100) }, set),
      redstream.update(City, { population: LessThan(100) }, set),
      redstream.update(City, { country: IsNull(), population: LessThan(100) }, set),
    ])
    expect(results.reduce((sum, { affected }) => sum + affected, 0)).toBe(200)
    expect(await dataSource.manager.countBy(City, { population: MoreThan(199) })).toBe(0)
    expect((await ids('main')).toSorted()).toEqual(upTo(200).toSorted())
  })

  test('many rows: the first page to the main lane, the others to the bulk lane, with progress', async () => {
    const { City } = entities
    await cities(2_500)
    const progress: number[] = []
    const { affected } = await redstream.update(
      City,
      { id: MoreThan(0) },
      { population: 5 },
      { onProgress: ({ rows }) => void progress.push(rows) },
    )
    expect(affected).toBe(2_500)
    expect(progress).toEqual([1_000, 2_000, 2_500])
    const main = await ids('main')
    expect(main).toHaveLength(1_000)
    const all = [...main, ...(await ids('bulk'))].map(Number)
    expect(all.toSorted((a, b) => a - b)).toEqual(upTo(2_500).map(Number))
    expect(await ids('delay')).toEqual([])
  })

  test('the Delayer was faster than the commit: all rows are queued again', async () => {
    const { City } = entities
    await cities(1_500)
    await dataSource.transaction(async (manager) => {
      await redstream.update(City, { id: MoreThan(0) }, { population: 5 }, { manager })
      await expect.poll(async () => (await ids('delay')).length).toBe(1_500)
      const redis = space.redis()
      defineScripts(redis)
      await new Delayer({
        redis,
        namespace: space.namespace,
        partitions: [partition('cities')],
        delayMs: 0,
        logger: recordingLogger([]),
      }).runOnce()
      expect(await ids('main')).toHaveLength(1_500)
      await clearStreams()
    })
    expect(new Set([...(await ids('main')), ...(await ids('bulk'))])).toEqual(new Set(upTo(1_500)))
  })

  test('an error of onProgress rolls everything back', async () => {
    const { City } = entities
    await cities(1_200)
    const failed = redstream.update(
      City,
      { id: MoreThan(0) },
      { name: 'x' },
      {
        onProgress: () => {
          throw new Error('stop')
        },
      },
    )
    await expect(failed).rejects.toThrow('stop')
    expect(await dataSource.manager.countBy(City, { name: 'x' })).toBe(0)
    await expect.poll(() => ids('delay')).toEqual([])
    expect(await ids('main')).toEqual([])
  })
})

describe('delete', () => {
  test('by criteria, and what the database deletes and changes along', async () => {
    const { City, Visit, Country } = entities
    await cities(4, "'IT'")
    await dataSource.manager.insert(Visit, [
      { number: 1, day: 'mon', city: { id: 1 } },
      { number: 2, day: 'tue', city: { id: 2 }, from: { code: 'FR' } },
      { number: 3, day: 'tue', city: { id: 3 }, from: { code: 'FR' } },
    ])
    await clearStreams()
    expect(await redstream.delete(City, { id: LessThan(3) })).toEqual({ affected: 2 })
    expect(await ids('main')).toEqual(['1', '2'])
    expect(await ids('main', 'visits')).toEqual(['1:mon', '2:tue'])
    await clearStreams()
    expect(await dataSource.manager.count(Visit)).toBe(1)
    // Nobody follows countries, but their visits lose them.
    await expect(redstream.delete(Country, { code: 'FR' })).rejects.toThrow(/Country is not indexed/)
  })

  test('rows without any of their own', async () => {
    const { Visit } = entities
    await dataSource.manager.insert(Visit, [
      { number: 1, day: 'a:b' },
      { number: 2, day: 'x' },
    ])
    await clearStreams()
    expect(await redstream.delete(Visit, { day: 'a:b' })).toEqual({ affected: 1 })
    expect(await ids('main', 'visits')).toEqual(['1:a%3Ab'])
    expect(await dataSource.manager.count(Visit)).toBe(1)
  })
})

describe('insert', () => {
  test('delay messages before the commit, keys in the objects, the payload in the messages', async () => {
    const { City, Visit } = entities
    const rows = [{ name: 'Rome' }, { name: 'Oslo' }]
    await dataSource.transaction(async (manager) => {
      await redstream.insert(City, rows, { manager })
      await expect.poll(() => ids('delay')).toEqual(['1', '2'])
    })
    expect(rows).toMatchObject([{ id: 1 }, { id: 2 }])
    expect(await ids('main')).toEqual(['1', '2'])
    expect(await redstream.insert(Visit, { number: 1, day: 'mon' })).toEqual({ affected: 1 })
    expect(await messages('visits', 'main')).toEqual([{ id: '1:mon', payload: '{"day":"mon"}' }])
  })

  test('many rows, in several statements of one transaction, to the bulk lane', async () => {
    const { City } = entities
    const progress: number[] = []
    const rows = Array.from({ length: 2_300 }, (_, i) => ({ name: `city ${i}` }))
    const options = { onProgress: ({ rows: count }: { rows: number }) => void progress.push(count) }
    expect(await redstream.insert(City, rows, options)).toEqual({ affected: 2_300 })
    expect(progress).toEqual([1_000, 2_000, 2_300])
    expect(await ids('bulk')).toEqual(upTo(2_300))
  })

  test('what cannot be inserted in full is not inserted at all', async () => {
    const { Visit } = entities
    const visits = Array.from({ length: 1_500 }, (_, i) => ({ number: i % 1_400, day: 'mon' }))
    await expect(redstream.insert(Visit, visits)).rejects.toThrow(/duplicate key/)
    expect(await dataSource.manager.count(Visit)).toBe(0)
    expect([...(await ids('main', 'visits')), ...(await ids('bulk', 'visits'))]).toEqual([])
    await expect.poll(() => ids('delay')).toEqual([])
  })
})

describe('what is refused, and writes nothing', () => {
  test.each<[string, unknown, RegExp]>([
    ['nothing', undefined, /City: nothing is written.* are undefined/],
    ['no condition', {}, /are empty/],
    ['no alternative', [], /have no alternatives/],
    ['an empty alternative', [{ id: 1 }, {}], /are empty/],
    ['undefined', { id: undefined }, /are undefined at "id"/],
    ['null', { name: null }, /are null at "name".*IsNull\(\)/],
    ['a relation without a condition', { country: {} }, /are empty at "country"/],
    ['undefined in a relation', { country: { code: undefined } }, /are undefined at "country.code"/],
  ])('%s', async (_, where, message) => {
    await cities(2)
    await expect(redstream.update(entities.City, where as never, { name: 'x' })).rejects.toThrow(message)
    await expect(redstream.delete(entities.City, where as never)).rejects.toThrow(message)
    expect(await dataSource.manager.countBy(entities.City, { name: 'x' })).toBe(0)
    expect(await dataSource.manager.count(entities.City)).toBe(2)
  })

  test('a primary key in `set`, and an entity that nobody follows', async () => {
    const { City, Note } = entities
    await expect(redstream.update(City, { id: 1 }, { id: 2 })).rejects.toThrow(
      /City.id is part of the primary key/,
    )
    await expect(redstream.insert(Note, { id: 1 })).rejects.toThrow(/Note is not indexed/)
  })
})

async function waitingForLocks(table: string): Promise<boolean> {
  const rows = await dataSource.query<unknown[]>(
    `SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.query LIKE $1`,
    [`%UPDATE "${space.schema}"."${table}"%`],
  )
  return rows.length > 0
}
