import { Column, Entity, ManyToOne, PrimaryColumn, type Relation } from 'typeorm'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { formatWhy } from '../../src/cli/why-screen.ts'
import { Indexed } from '../../src/indexed.ts'
import { pause } from '../../src/runtime/backoff.ts'
import type { VerifyReport } from '../../src/verify/report.ts'
import { verifyIndex, type VerifyOptions } from '../../src/verify/verify.ts'
import { explainDocument } from '../../src/verify/why.ts'
import { waitUntil } from '../process/support/program.ts'
import { indexNamed } from '../support/shapes.ts'
import { workshop, type Workshop } from '../support/workshop.ts'

@Entity()
class Land {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'text' })
  name!: string
}

@Indexed<Town>({ index: indexNamed('towns'), relations: { land: true } })
@Entity()
class Town {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @ManyToOne(() => Land)
  land!: Relation<Land>
}

let app: Workshop
let embedded: string
const rows = 300

beforeEach(async () => {
  app = await workshop([Land, Town], {}, { delay: '1s' })
  embedded = app.pipeline.site(index()).cascades[0]!.stream
  app.start('consumer', index())
  await app.dataSource.query(
    `INSERT INTO land (id, name) SELECT n, 'land ' || n FROM generate_series(1, 3) n`,
  )
  await app.dataSource.query(
    `INSERT INTO town (id, "landId") SELECT n, 1 + n % 3 FROM generate_series(1, ${rows}) n`,
  )
  await app.redstream.bulkQueue(Town, {})
  await waitUntil(
    async () => Object.keys(await app.documents('towns')).length === rows,
    () => 'not all towns are indexed',
  )
})
afterEach(() => app.dispose())

const clean = { missing: 0, stale: 0, orphaned: 0, unindexable: 0, inFlight: 0, repaired: 0, complete: true }

function index(): string {
  return `${app.space.indexPrefix}towns`
}

function verify(options: Partial<VerifyOptions> = {}): Promise<VerifyReport> {
  return verifyIndex(app.pipeline.site(index()), {
    scope: { kind: 'all' },
    repair: false,
    examples: 1_000,
    patienceMs: 30_000,
    signal: new AbortController().signal,
    ...options,
  })
}

test('documents whose embedded row has changed are in flight until the cascade has passed them', async () => {
  await app.save(Land, { id: 1, name: 'renamed' })
  expect(await verify({ patienceMs: 300 })).toMatchObject({ ...clean, rows, documents: rows, inFlight: 100 })
  const waiting = await explainDocument(app.pipeline.site(index()), '3')
  expect(waiting).toMatchObject({ inStep: false, cascades: [embedded] })
  expect(waiting.verdict).toContain(`changes of rows that such documents embed wait in ${embedded}`)
  expect(formatWhy(waiting)).toContain(`embedded     changes wait in ${embedded}`)

  const verifying = verify()
  await waitUntil(
    () => app.workerLog.filter(({ message }) => message.startsWith('waiting until the queue')).length > 1,
    () => 'verify does not wait',
  )
  app.start('consumer', embedded)
  expect(await verifying).toMatchObject({ ...clean, rows, documents: rows })
  expect(await explainDocument(app.pipeline.site(index()), '3')).toMatchObject({ inStep: true, cascades: [] })
})

test('embedded rows that change all the while make no false alarm', async () => {
  app.start('consumer', embedded)
  const over = new AbortController()
  const renaming = (async () => {
    for (let turn = 1; !over.signal.aborted; turn++) {
      await app.save(Land, { id: 1 + (turn % 2), name: `turn ${turn}` })
      await pause(20)
    }
  })()
  const { client } = app.pipeline.site(index())
  await client.delete({ index: index(), id: '2' })
  const report = await verify()
  over.abort()
  await renaming
  // Those of the land that is left alone; the others change too often for a judgement.
  expect(report).toMatchObject({
    ...clean,
    rows,
    stale: 0,
    orphaned: 0,
    missing: 1,
    inFlight: report.inFlight,
  })
  expect(report.examples.filter(({ kind }) => kind === 'missing').map(({ id }) => id)).toEqual(['2'])
  expect(report.examples.every(({ id, kind }) => kind === 'missing' || Number(id) % 3 !== 2)).toBe(true)
  await app.redstream.drained()
  expect(await verify()).toMatchObject({ ...clean, rows, missing: 1 })
})

test('a process that died between the commit and the publish of an embedded row', async () => {
  app.start('consumer', embedded)
  await app.redstream.producer.delay(Land, 1)
  await app.dataSource.query(`UPDATE land SET name = 'renamed' WHERE id = 1`)
  expect(await verify({ patienceMs: 300 })).toMatchObject({ ...clean, inFlight: 100 })
  const verifying = verify()
  // It is due after a second.
  app.start('delayer', embedded)
  expect(await verifying).toMatchObject({ ...clean, rows, documents: rows })
})
