import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm'
import { afterEach, expect, test } from 'vitest'

import { Indexed } from '../../src/indexed.ts'
import { partitionsOf } from '../../src/streams/keys.ts'
import { outboxed, type Outboxed } from '../support/outboxed.ts'

let app: Outboxed
afterEach(() => app.dispose())

function riverEntity(prefix: string): new () => object {
  @Indexed({ index: `${prefix}rivers` })
  @Entity({ name: 'rivers' })
  class River {
    @PrimaryGeneratedColumn({ type: 'integer' })
    id!: number

    @Column({ type: 'text' })
    name!: string
  }
  return River
}

test('a stream that Redis refuses holds up no other one, and goes on when it is mended', async () => {
  app = await outboxed({}, {}, (prefix) => [riverEntity(prefix)])
  const { space, dataSource, table, City, redstream } = app
  const redis = space.redis()
  const [rivers] = partitionsOf(space.namespace, `${space.indexPrefix}rivers`, 1)
  await redis.set(rivers!.keys.main, 'not a stream')
  // More rows than a relay takes at once, before all others.
  await dataSource.query(
    `INSERT INTO ${table.quoted} (kind, source, body)
    SELECT 'messages', $1, '[{"id":"' || n || '"}]' FROM generate_series(1, 450) n`,
    [`${space.indexPrefix}rivers`],
  )
  app.startRelay()
  const first = await dataSource.manager.save(app.city('Rome'))
  await redstream.touch(City, first)
  const published = async (): Promise<string[]> => (await app.published('main')).map(({ id }) => id)
  await expect.poll(published).toEqual([String(first.id), String(first.id)])
  const errors = () => app.relayLog.filter(({ message }) => message.startsWith('a stream does not take'))
  await expect.poll(() => errors().length).toBeGreaterThan(2)
  expect(errors()[0]).toMatchObject({ level: 'error', facts: { stream: `${space.indexPrefix}rivers` } })
  // It was published once, however often the others are tried.
  expect(await published()).toHaveLength(2)
  await redis.del(rivers!.keys.main)
  await app.emptied()
  expect(await redis.xlen(rivers!.keys.main)).toBe(450)
})
