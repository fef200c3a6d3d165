import { Column, Entity, PrimaryColumn } from 'typeorm'
import { afterEach, expect, test } from 'vitest'

import { Indexed } from '../../src/indexed.ts'
import { writeAliasOf } from '../../src/indexing/index-names.ts'
import { copyGroup } from '../../src/reindex/store.ts'
import { createGroup } from '../../src/streams/group-member.ts'
import { takeTicket } from '../../src/sync/ticket.ts'
import { verifyIndex, type Scope } from '../../src/verify/verify.ts'
import { indexNamed, startShapes, type Shapes } from '../support/shapes.ts'

/** What `document()` waits for; it has read its row by then. */
let held: { reached: () => void; until: Promise<void> } | undefined

@Indexed<Nomad>({
  index: indexNamed('nomads'),
  document: async ({ slug, tenant }, { services }) => {
    const gate = held
    held = undefined
    gate?.reached()
    await gate?.until
    return { slug, tenant, price: (services as { price: number }).price }
  },
  id: ({ id, slug }) => `${slug}-${id}`,
  routing: ({ tenant }) => tenant,
  settings: { number_of_shards: 3 },
})
@Entity()
class Nomad {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'text' })
  slug!: string

  @Column({ type: 'text' })
  tenant!: string
}

let app: Shapes

afterEach(async () => {
  held = undefined
  await app.dispose()
})

const never = new AbortController().signal

async function start(rows: number): Promise<void> {
  app = await startShapes([Nomad], { price: 7 })
  await app.dataSource.query(
    `INSERT INTO nomad (id, slug, tenant) SELECT n, 's' || n % 7, 't' || n % 11 FROM generate_series(1, ${rows}) n`,
  )
  await app.redstream.bulkQueue(Nomad, {})
  await app.redstream.drained()
}

const indexOfTest = (): string => `${app.space.indexPrefix}nomads`

async function expectClean(physical: string, rows: number, scope: Scope = { kind: 'all' }): Promise<void> {
  const options = { scope, repair: false, examples: 10, patienceMs: 30_000, index: physical, signal: never }
  const report = await verifyIndex(app.pipeline.site(indexOfTest()), options)
  expect(report).toMatchObject({ rows, documents: rows, examples: [] })
}

async function foundIn(physical: string): Promise<string[]> {
  await app.client.indices.refresh({ index: physical })
  const { hits } = await app.client.search({ index: physical, size: 100 })
  return hits.hits.map(({ _id, _routing }) => `${_id}@${_routing}`)
}

test('rows that move all the while are copied to their places, and leave nothing behind', async () => {
  const rows = 4_000
  await start(rows)
  const over = new AbortController()
  let moves = 0
  const moving = (async () => {
    const repository = app.dataSource.getRepository(Nomad)
    for (; !over.signal.aborted; moves += 1) {
      const id = 1 + ((moves * 37) % rows)
      const place = { slug: `m${moves % 5}`, tenant: `t${moves % 13}` }
      if (moves % 3 === 0) await repository.save({ id, ...place })
      else if (moves % 3 === 1) await app.redstream.update(Nomad, { id }, place)
      else await repository.update(id, place)
    }
  })()
  const wishes = { keepOldMs: 3_600_000, rate: 2_000 }
  const state = await app.pipeline.reindexer(indexOfTest()).start(wishes, { hands: 2 }, never)
  over.abort()
  await moving
  // However busy the machine is, enough that some came between the pages.
  expect(moves).toBeGreaterThan(10)
  await app.redstream.drained()
  await expectClean(state.to, rows)
  await expectClean(state.from, rows)
})

test('a row that moves between its reading and its writing by the copy', async () => {
  await start(1)
  // Else the search finds it there, and whoever indexes the move deletes it in both indices, also before it is written.
  await app.client.delete({ index: indexOfTest(), id: 's1-1', routing: 't1' })
  const { promise: reached, resolve: reach } = Promise.withResolvers<void>()
  const { promise: until, resolve: open } = Promise.withResolvers<void>()
  held = { reached: reach, until }
  const reindexing = app.pipeline
    .reindexer(indexOfTest())
    .start({ keepOldMs: 3_600_000, rate: 0 }, { hands: 1 }, never)
  await reached
  // Names no place, so the index is searched, in vain: the copy has not written yet.
  await app.redstream.update(Nomad, { id: 1 }, { slug: 'there' })
  await app.redstream.drained()
  open()
  const state = await reindexing
  expect(await foundIn(state.to)).toEqual(['there-1@t1'])
  expect(await foundIn(state.from)).toEqual(['there-1@t1'])
})

test('a copier that died has written a row where it is no more', async () => {
  await start(1)
  const { redis, partitions } = app.pipeline.site(indexOfTest())
  const reindexer = app.pipeline.reindexer(indexOfTest())
  const slices = reindexer.store.slicesPartition()
  /** Takes the slice, reads the row, writes it later, and never comes to look at it again. */
  const die = async (): Promise<void> => {
    await createGroup(redis, slices, copyGroup)
    expect(
      await redis.xreadgroup('GROUP', copyGroup, 'dead', 'STREAMS', slices.keys.main, '>'),
    ).not.toBeNull()
    const { version, targets } = await takeTicket(redis, partitions[0]!)
    await app.redstream.update(Nomad, { id: 1 }, { slug: 'there' })
    await app.redstream.drained()
    const state = await reindexer.store.read()
    const to = writeAliasOf(state!.to)
    expect(targets).toContain(to)
    const document = { slug: 's1', tenant: 't1', price: 7, redstream_key: '1' }
    const place = { index: to, id: 's1-1', routing: 't1' }
    await app.client.index({ ...place, version: Number(version), version_type: 'external_gte', document })
  }
  const state = await reindexer.start(
    { keepOldMs: 3_600_000, rate: 0 },
    { hands: 1, checkpoint: async (point) => (point === 'after slicing' ? die() : undefined) },
    never,
  )
  expect(await foundIn(state.to)).toEqual(['there-1@t1'])
})
