import { Column, Entity, PrimaryColumn } from 'typeorm'
import { afterEach, expect, test } from 'vitest'

import { Indexed } from '../../src/indexed.ts'
import { indexNamed, startShapes, type Shapes } from '../support/shapes.ts'

/** What `document()` waits for; it has read its row by then. */
let held: { reached: () => void; until: Promise<void> } | undefined

@Indexed<Wanderer>({
  index: indexNamed('wanderers'),
  document: async ({ slug }) => {
    const gate = held
    held = undefined
    gate?.reached()
    await gate?.until
    return { slug }
  },
  id: ({ id, slug }) => `${slug}-${id}`,
  routing: ({ tenant }) => tenant,
  settings: { number_of_shards: 3 },
})
@Entity()
class Wanderer {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'text' })
  slug!: string

  @Column({ type: 'text' })
  tenant!: string
}

let app: Shapes

afterEach(() => app.dispose())

test('rows that move all the time, by writes of every kind, while several consumers index: one document each', async () => {
  app = await startShapes([Wanderer])
  const { dataSource, redstream } = app
  const repository = dataSource.getRepository(Wanderer)
  const more = [1, 2].flatMap(() => app.pipeline.workers(['consumer']))
  const stopping = new AbortController()
  const runs = more.map((worker) => worker.run(stopping.signal))
  let turn = 0
  const next = (): { slug: string; tenant: string } => {
    turn += 1
    return { slug: `s${turn % 7}`, tenant: `t${(turn * 5) % 11}` }
  }
  const writes: ((id: number) => Promise<unknown>)[] = [
    (id) => repository.save({ id, ...next() }),
    (id) => repository.update(id, next()),
    (id) => redstream.update(Wanderer, { id }, next()),
    (id) => redstream.bulk(Wanderer, { id }, () => repository.update({ id }, next())),
    (id) => repository.save({ id, slug: next().slug }),
    async (id) => {
      const { slug, tenant } = next()
      await dataSource.query('UPDATE wanderer SET slug = $1, tenant = $2 WHERE id = $3', [slug, tenant, id])
      await redstream.touch(Wanderer, id)
    },
    async (id) => {
      await repository.delete(id)
      await repository.save({ id, ...next() })
    },
  ]
  await Promise.all(
    Array.from({ length: 8 }, async (_, id) => {
      await repository.save({ id, ...next() })
      for (let n = 0; n < 14; n++) await writes[(n * 3 + id) % writes.length]!(id)
    }),
  )
  const rows = await repository.find({ order: { id: 'ASC' } })
  expect(rows).toHaveLength(8)
  const documents = await app.documents('wanderers')
  stopping.abort()
  await Promise.all(runs)
  expect(documents.map(({ id, routing }) => `${id}@${routing}`).toSorted()).toEqual(
    rows.map(({ id, slug, tenant }) => `${slug}-${id}@${tenant}`).toSorted(),
  )
  expect(await app.letters('wanderers')).toEqual({})
})

test.each([
  ['that names no place', (id: number) => app.redstream.update(Wanderer, { id }, { slug: 'there' })],
  ['that names its place', (id: number) => app.dataSource.manager.save(Wanderer, { id, slug: 'there' })],
])('a row that moves between its reading and its writing, by a write %s', async (_, move) => {
  app = await startShapes([Wanderer])
  const { promise: reached, resolve: reach } = Promise.withResolvers<void>()
  const { promise: until, resolve: open } = Promise.withResolvers<void>()
  held = { reached: reach, until }
  await app.dataSource.manager.save(Wanderer, { id: 1, slug: 'here', tenant: 't' })
  await reached
  await move(1)
  // The batch of the move is done, that of the first write is still held.
  const exists = (id: string): Promise<boolean> =>
    app.client.exists({ index: `${app.space.indexPrefix}wanderers`, id, routing: 't' })
  await expect.poll(() => exists('there-1')).toBe(true)
  open()
  expect(await app.ids('wanderers')).toEqual(['there-1'])
})
