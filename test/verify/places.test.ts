import { Column, Entity, PrimaryColumn } from 'typeorm'
import { afterEach, expect, test } from 'vitest'

import { formatVerify } from '../../src/cli/verify-table.ts'
import { formatWhy } from '../../src/cli/why-screen.ts'
import { Indexed } from '../../src/indexed.ts'
import { pause } from '../../src/runtime/backoff.ts'
import type { Example, VerifyReport } from '../../src/verify/report.ts'
import { verifyIndex, type VerifyOptions } from '../../src/verify/verify.ts'
import { explainDocument } from '../../src/verify/why.ts'
import { indexNamed, startShapes, type Shapes } from '../support/shapes.ts'

@Indexed<Tenant>({
  index: indexNamed('tenants'),
  id: ({ id, slug }) => {
    if (slug === '') throw new Error('no slug')
    return `${slug}-${id}`
  },
  routing: ({ house }) => house,
  settings: { number_of_shards: 3 },
})
@Indexed<Tenant>({
  index: indexNamed('houses'),
  routing: ({ house }) => house,
  settings: { number_of_shards: 3 },
})
@Entity()
class Tenant {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'text' })
  slug!: string

  @Column({ type: 'text' })
  house!: string

  @Column({ type: 'integer', default: 0 })
  rent!: number
}

let app: Shapes

let over = new AbortController()
let moving: Promise<void> = Promise.resolve()

afterEach(async () => {
  over.abort()
  await moving
  await app.dispose()
})

const rows = 1_500
const clean = { missing: 0, stale: 0, orphaned: 0, unindexable: 0, inFlight: 0, repaired: 0, complete: true }

async function start(): Promise<void> {
  app = await startShapes([Tenant])
  await app.dataSource.query(
    `INSERT INTO tenant (id, slug, house) SELECT n, 's' || n % 7, 'h' || n % 11 FROM generate_series(1, ${rows}) n`,
  )
  await app.redstream.bulkQueue(Tenant, {})
  await app.redstream.drained()
}

function verify(name: string, options: Partial<VerifyOptions> = {}): Promise<VerifyReport> {
  return verifyIndex(app.pipeline.site(app.space.indexPrefix + name), {
    scope: { kind: 'all' },
    repair: false,
    examples: 1_000,
    patienceMs: 30_000,
    signal: new AbortController().signal,
    ...options,
  })
}

interface At {
  readonly _id: string
  readonly routing: string
}
const slugged = (id: number): At => ({ _id: `s${id % 7}-${id}`, routing: `h${id % 11}` })
const plain = (id: number): At => ({ _id: String(id), routing: `h${id % 11}` })

/** A routing for each house that leads to another shard: elsewhere, a second document has its `_id`. */
async function farRoutings(index: string): Promise<Map<string, string>> {
  const shardOf = async (routing: string): Promise<number> => {
    const { shards } = await app.client.searchShards({ index, routing })
    return shards[0]![0]!.shard
  }
  const shards = new Map<string, number>()
  for (let i = 0; i < 20; i++)
    for (const routing of [`h${i}`, `far${i}`]) shards.set(routing, await shardOf(routing))
  const far = (house: string): string =>
    [...shards].find(([routing, shard]) => routing.startsWith('far') && shard !== shards.get(house))![0]
  return new Map([...shards.keys()].map((house) => [house, far(house)]))
}

interface Drift {
  readonly missing: string[]
  readonly stale: string[]
  readonly orphaned: string[]
}

/** Behind Redstream's back: 20 documents deleted, 20 changed, 20 added, and 20 copied to where their row is not. */
async function makeDrift(name: string, at: (id: number) => At): Promise<Drift> {
  const index = app.space.indexPrefix + name
  const isKeyed = name === 'tenants'
  const routings = await farRoutings(index)
  const ids = Array.from({ length: 60 }, (_, i) => 5 + i * 20)
  const gone = ids.slice(0, 20)
  const changed = ids.slice(20, 40)
  const copied = ids.slice(40)
  const added = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? `by-hand-${i}` : String(9_000 + i)))
  // There is a row with this key, but the document does not say that it is of that row.
  if (isKeyed) added[0] = '1400'
  const elsewhere = (id: number): At =>
    isKeyed
      ? { _id: `left-${id}`, routing: 'x' }
      : { _id: String(id), routing: routings.get(at(id).routing)! }
  const answer = await app.client.bulk({
    index,
    require_alias: true,
    operations: [
      ...gone.map((id) => ({ delete: at(id) })),
      ...changed.flatMap((id) => [{ update: at(id) }, { doc: { rent: 99 } }]),
      ...added.flatMap((_id) => [{ index: { _id, routing: 'x' } }, { rent: 1 }]),
      ...copied.flatMap((id) => [{ index: elsewhere(id) }, isKeyed ? { redstream_key: String(id) } : {}]),
    ],
  })
  expect(answer.errors).toBe(false)
  return {
    missing: gone.map(String),
    stale: changed.map(String),
    orphaned: [...added, ...copied.map(String)],
  }
}

function idsOf({ examples }: VerifyReport, kind: Example['kind']): string[] {
  return examples.filter((example) => example.kind === kind).map(({ id }) => id)
}

test.each([
  ['id and routing', 'tenants', slugged],
  ['routing', 'houses', plain],
])('with %s of their own, documents are compared where they are, while rows move', async (_, name, at) => {
  await start()
  const drift = await makeDrift(name, at)
  over = new AbortController()
  moving = (async () => {
    for (let turn = 0; !over.signal.aborted; turn++) {
      // Not the drifted ones, and each so seldom that it is at rest between two looks.
      const id = 6 + ((turn * 7) % 1_490)
      if (id % 20 === 5) continue
      const place = { slug: `m${turn % 5}`, house: `h${turn % 13}` }
      if (turn % 2 === 0) await app.dataSource.manager.save(Tenant, { id, ...place })
      else await app.redstream.update(Tenant, { id }, place)
      await pause(10)
    }
  })()
  const found = await verify(name)
  for (const kind of ['missing', 'stale', 'orphaned'] as const)
    expect(idsOf(found, kind).toSorted()).toEqual(drift[kind].toSorted())
  expect(found).toMatchObject({ ...clean, rows, missing: 20, stale: 20, orphaned: 40 })
  const cured = await verify(name, { repair: true })
  expect(cured).toMatchObject({ ...clean, missing: 20, stale: 20, orphaned: 40, repaired: 80 })
  over.abort()
  await moving
  await app.redstream.drained()
  expect(await verify(name)).toMatchObject({ ...clean, rows, documents: rows })
})

test('parts, and why, find what a row has left behind', async () => {
  await start()
  const index = `${app.space.indexPrefix}tenants`
  const ids = (...keys: string[]): Promise<VerifyReport> =>
    verify('tenants', { scope: { kind: 'ids', ids: keys } })
  const why = (key: string) => explainDocument(app.pipeline.site(index), key)
  expect(await ids('5', '6', '99999', 'abc')).toMatchObject({ ...clean, rows: 2, documents: 2 })
  const left = { index, id: 'left-5', routing: 'x', document: { redstream_key: '5' } }
  await app.client.index(left)
  // Rows that are gone and have moved, without a word.
  await app.dataSource.query('DELETE FROM tenant WHERE id = 6')
  await app.dataSource.query(`UPDATE tenant SET slug = 'there' WHERE id = 7`)
  await app.dataSource.query(`UPDATE tenant SET slug = '' WHERE id = 8`)
  const found = await ids('5', '6', '7', '8')
  expect(found).toMatchObject({ ...clean, rows: 3, documents: 5, missing: 1, orphaned: 3, unindexable: 1 })
  const orphaned = found.examples.filter(({ kind }) => kind === 'orphaned')
  expect(orphaned.map(({ id, place }) => [id, place])).toEqual([
    ['5', { id: 'left-5', routing: 'x' }],
    ['6', { id: 's6-6', routing: 'h6' }],
    ['7', { id: 's0-7', routing: 'h7' }],
  ])
  expect(formatVerify(found)).toContain('5 (at left-5, routing x)')

  expect(await why('4')).toMatchObject({
    verdict: 'The document is that of the row.',
    document: { place: { id: 's4-4', routing: 'h4' } },
  })
  const five = await why('5')
  expect(five).toMatchObject({ row: true, document: { place: { id: 'left-5', routing: 'x' } } })
  expect(five.verdict).toMatch(/^The row has its document elsewhere, but there is another one: /)
  expect(formatWhy(five)).toContain('left-5, routing x in ')
  expect((await why('6')).verdict).toMatch(/^There is a document, but no row: /)
  expect((await why('7')).verdict).toMatch(/^The row has no document: /)
  expect((await why('8')).verdict).toMatch(/no new one can be made: no slug\.$|none can be made: no slug\.$/)
  expect(await why('99999')).toMatchObject({ row: false, document: null, inStep: true })

  const cured = await verify('tenants', { scope: { kind: 'ids', ids: ['5', '6', '7'] }, repair: true })
  expect(cured).toMatchObject({ ...clean, missing: 1, orphaned: 3, repaired: 4 })
  expect(await ids('5', '6', '7')).toMatchObject({ ...clean, rows: 2, documents: 2 })
})

test('a document by hand in the place of a row is not that of the row', async () => {
  await start()
  const index = `${app.space.indexPrefix}tenants`
  const { _id: id, routing } = slugged(5)
  await app.client.index({ index, id, routing, document: { rent: 5 } })
  const found = await verify('tenants', { repair: true })
  expect(found.examples).toMatchObject([{ id: '5', kind: 'missing' }])
  expect(found).toMatchObject({ ...clean, missing: 1, repaired: 1 })
  expect(await verify('tenants')).toMatchObject({ ...clean, rows, documents: rows })
})
