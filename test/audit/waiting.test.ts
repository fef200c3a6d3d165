import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'

import { OutboxPart } from '../../src/outbox/outbox-part.ts'
import { OutboxTable } from '../../src/outbox/outbox-table.ts'
import { AuditSession } from '../../src/audit/session.ts'
import { passagesOf } from '../../src/audit/passages.ts'
import { auditStage, slotTimeout, type Stage } from './stage.ts'

let stage: Stage
beforeAll(async () => {
  stage = await auditStage()
})
afterAll(() => stage.dispose())

it('does not count what waits in the delay stream as missed', async () => {
  const { dataSource, redstream, Note } = stage
  const [first, second] = await dataSource.manager.save(
    ['a', 'b'].map((name) => Object.assign(new Note(), { name })),
  )
  const audit = await stage.audit('trigger', 1_000)
  // As a process that dies between its commit and its publish leaves them.
  await redstream.producer.delay(Note, first!.id)
  await dataSource.query(`UPDATE notes SET name = 'changed' WHERE id IN ($1, $2)`, [first!.id, second!.id])
  await audit.seen(2)
  expect(await audit.finish()).toMatchObject({
    missed: 1,
    waiting: 1,
    tables: [{ kind: 'update', examples: [String(second!.id)] }],
  })
})

it('takes a change for told that is published while it is looked for', { timeout: slotTimeout }, async () => {
  const { dataSource, redstream, Note } = stage
  const note = await dataSource.manager.save(Object.assign(new Note(), { name: 'c' }))
  const audit = await stage.audit('wal', 30_000)
  await dataSource.query(`UPDATE notes SET name = 'changed' WHERE id = $1`, [note.id])
  await audit.seen(1)
  const found = audit.finish()
  await redstream.touch(Note, [note.id])
  expect(await found).toMatchObject({ told: 1, missed: 0, waiting: 0 })
})

it('knows when the outbox of a source has been emptied', async () => {
  const { dataSource, captureSchema } = stage
  const outbox = new OutboxTable(dataSource, captureSchema)
  const part = new OutboxPart(outbox)
  await part.apply()
  onTestFinished(async () => {
    await dataSource.query(`DROP SCHEMA ${captureSchema} CASCADE`)
  })
  const session = await AuditSession.open(dataSource, captureSchema)
  onTestFinished(() => session.close())
  const [passage] = passagesOf(['outbox', 'subscriber'], session, outbox, captureSchema)
  const before = await session.nowMs()
  await dataSource.query(`INSERT INTO ${outbox.quoted} (kind, source, body) VALUES ('messages', 'x', '[]')`)
  const after = (await session.nowMs()) + 1
  expect(await passage!.isPassed(before)).toBe(true)
  expect(await passage!.isPassed(after)).toBe(false)
  // A relay has set it aside.
  await dataSource.query(`UPDATE ${outbox.quoted} SET problem = 'broken'`)
  expect(await passage!.isPassed(after)).toBe(true)
})

it('knows when the log has been followed', { timeout: slotTimeout }, async () => {
  const { dataSource, captureSchema } = stage
  const session = await AuditSession.open(dataSource, captureSchema)
  onTestFinished(() => session.close())
  const outbox = new OutboxTable(dataSource, captureSchema)
  const [passage] = passagesOf(['wal'], session, outbox, captureSchema)
  const now = await session.nowMs()
  // There is no follower, and so no slot.
  expect(await passage!.isPassed(now)).toBe(false)
  const slot = `${captureSchema}_${dataSource.driver.database!}`
  await dataSource.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot])
  onTestFinished(async () => {
    await dataSource.query('SELECT pg_drop_replication_slot($1)', [slot])
  })
  await dataSource.query('INSERT INTO notes (name) VALUES ($1)', ['later'])
  const later = await session.nowMs()
  expect(await passage!.isPassed(later)).toBe(false)
  await dataSource.query('SELECT pg_replication_slot_advance($1, pg_current_wal_flush_lsn())', [slot])
  await expect.poll(() => passage!.isPassed(later)).toBe(true)
})

it('leaves a schema and a publication of its names alone that are not its own', async () => {
  const { dataSource, pipeline, captureSchema } = stage
  const name = `${captureSchema}_audit`
  await dataSource.query(`CREATE SCHEMA ${name}; CREATE PUBLICATION ${name}`)
  onTestFinished(async () => {
    await dataSource.query(`DROP SCHEMA ${name}; DROP PUBLICATION ${name}`)
  })
  const signal = new AbortController().signal
  for (const against of ['trigger', 'wal'] as const) {
    await expect(pipeline.audit({ against, forMs: 1, graceMs: 1, signal })).rejects.toThrow(
      `${against === 'wal' ? 'publication' : 'schema'} "${name}" already exists`,
    )
  }
  expect(await pipeline.cleanAudits()).toEqual([])
  const [left] = (await dataSource.query(`SELECT to_regnamespace($1) IS NOT NULL AS there`, [name])) as [
    { there: boolean },
  ]
  expect(left.there).toBe(true)
})
