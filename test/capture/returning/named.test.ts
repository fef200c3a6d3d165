import { Column, DataSource, DeleteDateColumn, Entity, In, PrimaryGeneratedColumn } from 'typeorm'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { Indexed } from '../../../src/indexed.ts'
import { Redstream, type AttachOptions } from '../../../src/redstream.ts'
import { partitionsOf } from '../../../src/streams/keys.ts'
import { decodeMessages } from '../../../src/streams/message.ts'
import { recordingLogger, type LogLine } from '../../support/captured.ts'
import { testDatabase, type TestDatabase } from '../../support/databases.ts'
import { testSpace, type TestSpace } from '../../support/services.ts'

@Indexed({ index: 'named-cups', stream: 'cups' })
@Entity({ name: 'cups' })
class Cup {
  @PrimaryGeneratedColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text' })
  colour!: string

  @DeleteDateColumn({ type: 'datetime' })
  deletedAt!: Date | null
}

// SQLite stands for the databases whose statements return nothing.
let space: TestSpace
let database: TestDatabase
let dataSource: DataSource
let attached = 0

beforeAll(async () => {
  space = await testSpace()
  database = await testDatabase('better-sqlite3', space)
  dataSource = await new DataSource({ ...database.options([Cup]), synchronize: true }).initialize()
})
afterAll(async () => {
  await dataSource.destroy()
  await database.dispose()
  await space.dispose()
})

beforeEach(async () => {
  await dataSource.manager.clear(Cup)
  for (const id of [1, 2, 3]) await dataSource.manager.insert(Cup, { id, colour: 'red' })
})

interface Seen {
  readonly published: string[]
  readonly log: LogLine[]
  readonly uncaptured: unknown[]
}

async function seen(write: () => Promise<unknown>, options: AttachOptions = {}): Promise<Seen> {
  const namespace = `${space.namespace}-${attached++}`
  const log: LogLine[] = []
  const uncaptured: unknown[] = []
  const logger = recordingLogger(log)
  const redstream = await Redstream.attach(dataSource, {
    redis: space.redisUrl,
    namespace,
    logger,
    ...options,
  })
  redstream.events.on('uncaptured', (facts) => void uncaptured.push(facts))
  try {
    await write()
  } finally {
    await redstream.close()
  }
  const entries = await space.redis().xrange(partitionsOf(namespace, 'cups', 1)[0]!.keys.main, '-', '+')
  const published = entries.flatMap(([, fields]) => decodeMessages(fields).map(({ id }) => id))
  return { published, log, uncaptured }
}

describe('criteria that name the keys', () => {
  test.each<[string, () => Promise<unknown>, string[]]>([
    ['update(id)', () => dataSource.manager.update(Cup, 1, { colour: 'blue' }), ['1']],
    [
      'update({ id: In })',
      () => dataSource.manager.update(Cup, { id: In([1, 2]) }, { colour: 'blue' }),
      ['1', '2'],
    ],
    ['delete(ids)', () => dataSource.manager.delete(Cup, [2, 3]), ['2', '3']],
    ['softDelete(id)', () => dataSource.manager.softDelete(Cup, 1), ['1']],
    [
      'update({ id }) by SQL',
      () => dataSource.manager.update(Cup, { id: 3 }, { colour: () => "'blue'" }),
      ['3'],
    ],
    ['a key that no row has', () => dataSource.manager.update(Cup, 99, { colour: 'blue' }), []],
  ])('%s', async (_, write, keys) => {
    expect(await seen(write)).toEqual({ published: keys, log: [], uncaptured: [] })
  })

  test('inside a transaction they wait for the commit, and a rollback takes them away', async () => {
    const inTransaction = (fail: boolean) =>
      dataSource
        .transaction(async (inside) => {
          await inside.update(Cup, 1, { colour: 'blue' })
          if (fail) throw new Error('no')
        })
        .catch(() => undefined)
    expect((await seen(() => inTransaction(false))).published).toEqual(['1'])
    expect((await seen(() => inTransaction(true))).published).toEqual([])
  })
})

describe('criteria that do not', () => {
  const blind = () => dataSource.manager.update(Cup, { colour: 'red' }, { colour: 'blue' })
  const blue = () => dataSource.manager.countBy(Cup, { colour: 'blue' })

  test('warn: the entity, the place in this file, the cure; counted each time, said once per place', async () => {
    const { log, uncaptured } = await seen(async () => {
      for (const colour of ['blue', 'red']) await dataSource.manager.updateAll(Cup, { colour })
    })
    expect(log).toMatchObject([
      {
        level: 'warn',
        message: expect.stringMatching(
          /^Cup: an update that names no ids at .*named\.test\.ts:\d+:\d+, .*redstream\.update/,
        ),
        facts: { entity: 'Cup', callSite: expect.stringMatching(/named\.test\.ts:\d+:\d+$/) },
      },
    ])
    const fact = { entity: 'Cup', index: 'named-cups', kind: 'update' }
    expect(uncaptured).toEqual([fact, fact])
  })

  test('a builder that is executed in a promise chain shows its place too', async () => {
    const { log } = await seen(() =>
      Promise.resolve().then(() =>
        dataSource.createQueryBuilder().delete().from(Cup).where('colour = :c', { c: 'red' }).execute(),
      ),
    )
    expect(log).toMatchObject([{ facts: { callSite: expect.stringMatching(/named\.test\.ts/) } }])
  })

  test('no row found: nothing to say', async () => {
    const { log, uncaptured } = await seen(() =>
      dataSource.manager.update(Cup, { colour: 'green' }, { colour: 'blue' }),
    )
    expect([log, uncaptured]).toEqual([[], []])
  })

  test('throw: before the statement', async () => {
    await seen(() => expect(blind()).rejects.toMatchObject({ code: 'ENTITY' }), { uncaptured: 'throw' })
    expect(await blue()).toBe(0)
  })

  test('ignore: counted only', async () => {
    const { log, uncaptured } = await seen(blind, { uncaptured: 'ignore' })
    expect([log.length, uncaptured.length]).toEqual([0, 1])
    expect(await blue()).toBe(3)
  })
})
