import { Column, DataSource, Entity, PrimaryColumn, type EntityManager } from 'typeorm'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { Indexed } from '../../../src/indexed.ts'
import { Redstream } from '../../../src/redstream.ts'
import { partitionsOf } from '../../../src/streams/keys.ts'
import { decodeMessages } from '../../../src/streams/message.ts'
import { published } from '../../support/captured.ts'
import { testSpace, type TestSpace } from '../../support/services.ts'

/** Takes no other text than that of a code, as value objects do. */
class Code {
  readonly text: string

  constructor(text: string) {
    if (!text.startsWith('code ')) throw new TypeError(`${text} is no code`)
    this.text = text
  }

  toString(): string {
    return this.text
  }
}

const code = {
  to: (value: Code | string): string => String(value),
  from: (text: string): Code => new Code(text),
}

@Entity()
@Indexed<Coded>({ index: 'coded' })
class Coded {
  @PrimaryColumn({ type: 'varchar', transformer: code })
  id!: Code | string

  @Column({ type: 'int' })
  used!: number
}

@Entity()
@Indexed<Numbered>({ index: 'numbered' })
class Numbered {
  @PrimaryColumn({ type: 'bigint' })
  id!: string | number

  @Column({ type: 'int' })
  used!: number
}

let space: TestSpace
let dataSource: DataSource
let redstream: Redstream

beforeAll(async () => {
  space = await testSpace()
  dataSource = new DataSource({ ...space.dataSourceOptions([Coded, Numbered]), synchronize: true })
  await dataSource.initialize()
  redstream = await Redstream.attach(dataSource, { redis: space.redisUrl, namespace: space.namespace })
})
beforeEach(async () => {
  await dataSource.query(`TRUNCATE coded, numbered`)
  await dataSource.query(`INSERT INTO coded VALUES ('code 1', 0)`)
  await dataSource.query(`INSERT INTO numbered VALUES (9007199254740992, 0)`)
})
afterAll(async () => {
  await redstream.close()
  await dataSource.destroy()
  await space.dispose()
})

async function idsOf(stream: string): Promise<string[]> {
  await published(redstream)
  const [partition] = partitionsOf(space.namespace, stream, 1)
  const entries = await space.redis().xrange(partition!.keys.main, '-', '+')
  return entries.flatMap(([, fields]) => decodeMessages(fields)).map(({ id }) => id)
}

// JavaScript holds it exactly, but not every number of that size.
const large = 2 ** 53

test.each<[string, string, string[], (manager: EntityManager) => Promise<unknown>]>([
  ['update(large number)', 'numbered', [String(large)], (m) => m.update(Numbered, large, { used: 1 })],
  ['delete(large number)', 'numbered', [String(large)], (m) => m.delete(Numbered, large)],
  ['update({ id: no code })', 'coded', [], (m) => m.update(Coded, { id: 'none' }, { used: 1 })],
  ['delete({ id: no code })', 'coded', [], (m) => m.delete(Coded, { id: 'none' })],
  [
    'update({ id: code })',
    'coded',
    ['code 1'],
    (m) => m.update(Coded, { id: new Code('code 1') }, { used: 1 }),
  ],
])('%s is not refused for what its criteria hold', async (_, stream, ids, write) => {
  const before = await idsOf(stream)
  await write(dataSource.manager)
  expect((await idsOf(stream)).slice(before.length)).toEqual(ids)
})
