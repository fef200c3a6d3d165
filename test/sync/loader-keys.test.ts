import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DataSource, type EntityTarget, type ObjectLiteral } from 'typeorm'

import { keyOf, type RowKey } from '../../src/capture/row-key.ts'
import { RedstreamError } from '../../src/errors.ts'
import { loadRows } from '../../src/sync/document-loader.ts'
import { testSpace } from '../support/services.ts'
import {
  BigKey,
  Bytes,
  Embedded,
  Guid,
  Joined,
  keyEntities,
  Opaque,
  Passport,
  Prefixed,
  Reading,
  Shifted,
  Ticket,
  Whole,
} from './key-entities.ts'

let space: Awaited<ReturnType<typeof testSpace>>
let dataSource: DataSource

beforeAll(async () => {
  space = await testSpace()
  dataSource = new DataSource({ ...space.dataSourceOptions(keyEntities), synchronize: true })
  await dataSource.initialize()
})

afterAll(async () => {
  await dataSource.destroy()
  await space.dispose()
})

function load<E extends ObjectLiteral>(
  entity: EntityTarget<E>,
  keys: Iterable<RowKey>,
  relations = {},
  from = dataSource,
) {
  const metadata = from.getMetadata(entity)
  const name = metadata.tableName
  return loadRows<E>({ name, stream: name, partitions: 1, metadata, options: { relations } }, keys, from)
}

/** Saves a row and reads it back by the key that the saved entity has. */
async function roundTrip<E extends ObjectLiteral>(entity: EntityTarget<E>, row: object): Promise<RowKey> {
  await dataSource.manager.insert(entity, row)
  const key = keyOf(dataSource.getMetadata(entity), row) ?? ''
  const { rows, invalid } = await load(entity, [key])
  expect(invalid).toEqual(new Map())
  expect([...rows.keys()]).toEqual([key])
  return key
}

describe('a saved row is found by its key', () => {
  test('number', async () => {
    expect(await roundTrip(Whole, { id: -7, broken: null })).toBe('-7')
  })

  test('uuid in capitals, which PostgreSQL returns in small letters', async () => {
    const id = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'
    expect(await roundTrip(Guid, { id })).toBe(id.toLowerCase())
  })

  test('bytes', async () => {
    expect(await roundTrip(Bytes, { id: Buffer.from('00ff:%', 'latin1') })).toBe('303066663a25')
  })

  test('dates and booleans in a composite key', async () => {
    const at = new Date('2024-02-29T23:59:59.123Z')
    expect(await roundTrip(Reading, { sensor: 'a:1', at, day: '2024-02-29', good: true })).toBe(
      'a%3A1:2024-02-29T23%3A59%3A59.123Z:2024-02-29:true',
    )
    await roundTrip(Reading, { sensor: 'a:1', at, day: new Date(2024, 1, 28), good: false })
  })

  test('embedded', async () => {
    expect(await roundTrip(Embedded, { key: { x: 1, y: 'a' } })).toBe('1:a')
  })

  test('a relation that is the key', async () => {
    await dataSource.manager.insert(Whole, { id: 500, broken: null })
    await dataSource.manager.insert(Passport, { owner: { id: 500 }, number: 'P' })
    for (const relations of [{}, { owner: true }]) {
      const { rows } = await load(Passport, ['500'], relations)
      expect([...rows.keys()]).toEqual(['500'])
    }
    const { rows } = await load(Passport, ['500'], { owner: true })
    expect(rows.get('500')).toMatchObject({ number: 'P', owner: { id: 500 } })
  })
})

describe('transformers on the primary key', () => {
  test('the key is the text of the entity value', async () => {
    expect(await roundTrip(BigKey, { id: 9007199254740993n })).toBe('9007199254740993')
    expect(await roundTrip(Shifted, { id: 5 })).toBe('5')
    expect(await roundTrip(Prefixed, { id: 'usr_12' })).toBe('usr_12')
  })

  test('an id that its text does not bring back is refused for that row, and says why', async () => {
    const key = keyOf(dataSource.getMetadata(Opaque), new Ticket(3))
    expect(key).toBe('#3')
    const { rows, invalid } = await load(Opaque, ['#3'])
    expect(rows.size).toBe(0)
    expect(invalid.get('#3')?.message).toMatch(
      /^Opaque\.id holds no value with the text "#3": its transformer must/,
    )
  })
})

describe('rows that TypeORM would take for one', () => {
  test('are two', async () => {
    const [one, two] = [
      { a: 'x_y', b: 'z' },
      { a: 'x', b: 'y_z' },
    ]
    await dataSource.manager.insert(Joined, [one, two])
    await dataSource.createQueryBuilder().relation(Joined, 'others').of(one).add([one, two])
    const { rows } = await load(Joined, ['x_y:z', 'x:y_z'], { others: true })
    expect(rows.get('x:y_z')).toMatchObject({ ...two, others: [] })
    expect(rows.get('x_y:z')).toMatchObject({ ...one, others: [two, one] })
  })
})

describe('data that cannot be read', () => {
  test('keys of the wrong kind do not hold up the others', async () => {
    await dataSource.manager.insert(
      Whole,
      Array.from({ length: 20 }, (_, n) => ({ id: 1000 + n, broken: null })),
    )
    const good = Array.from({ length: 20 }, (_, n) => String(1000 + n))
    const bad = ['abc', '99999999999999999999', '', '1.5']
    const { rows, invalid } = await load(Whole, [...bad.slice(0, 2), ...good, '77777', ...bad.slice(2)])
    expect([...rows.keys()].sort()).toEqual(good)
    expect([...invalid.keys()].sort()).toEqual(bad.toSorted())
    expect(invalid.get('abc')?.message).toContain('abc')
  })

  test('keys with a zero byte, junk dates, too many parts', async () => {
    const { rows, invalid } = await load(Reading, [
      'a\0:2024-01-01T00%3A00%3A00.000Z:2024-01-01:true',
      'a:b:c:d',
      'a:b',
    ])
    expect(rows.size).toBe(0)
    expect(invalid.size).toBe(3)
  })

  test('a row whose listener or transformer throws', async () => {
    await dataSource.manager.insert(Whole, [
      { id: 2000, broken: null },
      { id: 2001, broken: 'by hand' },
      { id: 2002, broken: null },
    ])
    const { rows, invalid } = await load(Whole, ['2000', '2001', '2002'])
    expect([...rows.keys()].sort()).toEqual(['2000', '2002'])
    expect(invalid.get('2001')?.message).toBe('row 2001 is broken: by hand')
  })
})

describe('the database', () => {
  test('is the primary one, and no cache', async () => {
    // The replica can be connected to, and nothing there may be read.
    const replica = new URL(space.databaseUrl)
    replica.searchParams.set('options', '-c role=pg_monitor')
    const other = new DataSource({
      ...space.dataSourceOptions(keyEntities),
      extra: {},
      cache: { type: 'database', alwaysEnabled: true, duration: 60_000 },
      synchronize: true, // for the cache's table
      replication: { master: { url: space.databaseUrl }, slaves: [{ url: replica.href }] },
    })
    await other.initialize()
    try {
      const empty = await load(Whole, ['3000'], {}, other)
      expect(empty.rows.size).toBe(0)
      await dataSource.manager.insert(Whole, { id: 3000, broken: null })
      const full = await load(Whole, ['3000'], {}, other)
      expect(full.rows.size).toBe(1)
      await expect(other.manager.find(Whole, { cache: false })).rejects.toThrow('permission denied')
    } finally {
      await other.destroy()
    }
  })

  test('errors that are not of the data fail the batch and name the entity', async () => {
    await dataSource.query(`CREATE TABLE ${space.schema}.away AS SELECT * FROM ${space.schema}.embedded`)
    const metadata = dataSource.getMetadata(Embedded)
    const { tablePath } = metadata
    metadata.tablePath = `${space.schema}.nowhere`
    try {
      const failure = await load(Embedded, ['1:a', '2:b']).catch((error: unknown) => error)
      expect(failure).toBeInstanceOf(RedstreamError)
      expect(failure).toMatchObject({ code: 'DATABASE' })
      expect((failure as Error).message).toMatch(
        /^Reading rows of Embedded failed: relation .* does not exist$/,
      )
    } finally {
      metadata.tablePath = tablePath
    }
  })

  test('gets its connection back', async () => {
    const single = new DataSource({ ...space.dataSourceOptions(keyEntities), poolSize: 1 })
    await single.initialize()
    try {
      for (let n = 0; n < 3; n++) await load(Whole, ['abc', '1'], {}, single)
    } finally {
      await single.destroy()
    }
  })
})

describe('a junction table without a key', () => {
  test('may name a target twice, which is there once', async () => {
    const rows = [
      { a: 'p', b: 'p' },
      { a: 'q', b: 'q' },
    ]
    await dataSource.manager.insert(Joined, rows)
    const { junctionEntityMetadata } = dataSource.getMetadata(Joined).manyToManyRelations[0]!
    const table = junctionEntityMetadata!.tablePath
    const [constraint] = await dataSource.query<{ conname: string }[]>(
      `SELECT conname FROM pg_constraint WHERE conrelid = '${table}'::regclass AND contype = 'p'`,
    )
    await dataSource.query(`ALTER TABLE ${table} DROP CONSTRAINT "${constraint!.conname}"`)
    for (let n = 0; n < 2; n++)
      await dataSource.query(`INSERT INTO ${table} VALUES ('p', 'p', 'q', 'q'), ('p', 'p', 'p', 'p')`)
    const loaded = await load(Joined, ['p:p'], { others: true })
    expect(loaded.rows.get('p:p')?.others).toMatchObject(rows)
    expect(loaded.rows.get('p:p')?.others.length).toBe(2)
  })
})
