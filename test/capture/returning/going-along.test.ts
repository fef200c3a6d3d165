import {
  Column,
  DataSource,
  Entity,
  ManyToOne,
  OneToMany,
  PrimaryGeneratedColumn,
  type Relation,
} from 'typeorm'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { Indexed } from '../../../src/indexed.ts'
import { Redstream } from '../../../src/redstream.ts'
import { partitionsOf } from '../../../src/streams/keys.ts'
import { decodeMessages } from '../../../src/streams/message.ts'
import { published } from '../../support/captured.ts'
import { testSpace, type TestSpace } from '../../support/services.ts'

@Entity({ name: 'rooms' })
class Room {
  @PrimaryGeneratedColumn({ type: 'integer' })
  id!: number

  @Column({ name: 'room_name', type: 'text' })
  name!: string

  @OneToMany(() => Chair, (chair) => chair.room)
  chairs!: Relation<Chair>[]
}

@Indexed({ index: 'going-along-chairs', stream: 'chairs' })
@Entity({ name: 'chairs' })
class Chair {
  @PrimaryGeneratedColumn({ type: 'integer' })
  id!: number

  @ManyToOne(() => Room, (room) => room.chairs, { onDelete: 'CASCADE' })
  room!: Relation<Room>
}

let space: TestSpace
let dataSource: DataSource
let redstream: Redstream
let attached = 0

beforeAll(async () => {
  space = await testSpace()
  const options = space.dataSourceOptions([Room, Chair])
  dataSource = await new DataSource({ ...options, synchronize: true }).initialize()
})
afterAll(async () => {
  await dataSource.destroy()
  await space.dispose()
})

beforeEach(async () => {
  await dataSource.query('TRUNCATE rooms, chairs RESTART IDENTITY')
  const rooms = await dataSource.manager.save(Room, [{ name: 'hall' }, { name: 'bar' }])
  await dataSource.manager.save(
    Chair,
    [0, 0, 1].map((room) => ({ room: rooms[room]! })),
  )
})

/** The chairs that are published while something is done. */
async function chairsOf(
  write: () => Promise<unknown>,
  outsideTransaction: 'wrap' | 'publish' = 'wrap',
): Promise<string[]> {
  const namespace = `${space.namespace}-${attached++}`
  redstream = await Redstream.attach(dataSource, { redis: space.redisUrl, namespace, outsideTransaction })
  try {
    await write()
    await published(redstream)
    const entries = await space.redis().xrange(partitionsOf(namespace, 'chairs', 1)[0]!.keys.main, '-', '+')
    return entries.flatMap(([, fields]) => decodeMessages(fields).map(({ id }) => id)).toSorted()
  } finally {
    await redstream.close()
  }
}

// No event of a room is of interest: only the chairs that the database deletes with it.
test.each<[string, () => Promise<unknown>]>([
  ['delete(id)', () => dataSource.manager.delete(Room, 1)],
  ['delete(where)', () => dataSource.manager.delete(Room, { name: 'hall' })],
  [
    'a builder with SQL, a property and parameters',
    () =>
      dataSource.createQueryBuilder().delete().from(Room).where('name = :name', { name: 'hall' }).execute(),
  ],
  [
    'remove()',
    async () => dataSource.manager.remove(await dataSource.manager.findOneByOrFail(Room, { id: 1 })),
  ],
])('%s: what the database deletes with the rows is published', async (_, write) => {
  expect(new Set(await chairsOf(write))).toEqual(new Set(['1', '2']))
  expect(await dataSource.manager.count(Chair)).toBe(1)
})

test('also outside a transaction, after the statement', async () => {
  expect(await chairsOf(() => dataSource.manager.delete(Room, { name: 'hall' }), 'publish')).toEqual([
    '1',
    '2',
  ])
})

test('deleteAll()', async () => {
  expect(await chairsOf(() => dataSource.manager.deleteAll(Room))).toEqual(['1', '2', '3'])
})

test('a delete that fails publishes nothing', async () => {
  await dataSource.query('CREATE TABLE locks (room int REFERENCES rooms (id))')
  await dataSource.query('INSERT INTO locks VALUES (2)')
  try {
    const failing = chairsOf(async () => {
      await expect(dataSource.manager.deleteAll(Room)).rejects.toThrow(/foreign key/)
    })
    expect(await failing).toEqual([])
  } finally {
    await dataSource.query('DROP TABLE locks')
  }
})
