import { afterEach, expect, test } from 'vitest'

import { formatDone, formatSteps } from '../../src/cli/database-steps.ts'
import { outboxed, type Outboxed } from '../support/outboxed.ts'

let app: Outboxed
afterEach(() => app.dispose())

test('what a plan says is what is done, once', async () => {
  app = await outboxed()
  await app.redstream.close()
  const { database } = app.pipeline
  await database.remove('everything')
  const schema = String(app.table.schema)
  const plan = await database.plan()
  expect(plan).toMatchObject([
    { object: `schema ${schema}`, action: 'create' },
    { object: `table ${schema}.outbox`, action: 'create', sql: expect.stringContaining('autovacuum') },
  ])
  expect(formatSteps(plan)).toMatch(/^create {5}schema .*\n {11}CREATE SCHEMA/)
  // Nothing is changed by a plan.
  expect(await database.plan()).toEqual(plan)
  expect(await database.apply()).toEqual(plan)
  expect(formatDone(await database.apply())).toBe(`unchanged  table ${schema}.outbox\n`)
})

test('several at the same moment do it once', async () => {
  app = await outboxed()
  await app.redstream.close()
  await app.pipeline.database.remove('everything')
  const others = await Promise.all([app.open(), app.open(), app.open()])
  const all = await Promise.all(others.map(({ database }) => database.apply()))
  expect(all.flat().filter(({ action }) => action === 'create')).toHaveLength(2)
})

test('brings the settings of autovacuum back', async () => {
  app = await outboxed()
  await app.dataSource.query(`ALTER TABLE ${app.table.quoted} RESET (autovacuum_vacuum_threshold)`)
  const { database } = app.pipeline
  expect(await database.apply()).toMatchObject([
    { action: 'replace', reason: expect.stringContaining('autovacuum_vacuum_threshold') },
  ])
  expect(await database.plan()).toMatchObject([{ action: 'nothing' }])
})

test('is not removed while something in it is not published', async () => {
  app = await outboxed()
  await app.dataSource.manager.save(app.city('Rome'))
  const { database } = app.pipeline
  expect(await database.planRemoval('everything')).toMatchObject([
    { action: 'drop', reason: '1 entries in it are not published yet' },
    { action: 'drop', object: expect.stringMatching(/^schema /) },
  ])
  await expect(database.remove('everything')).rejects.toMatchObject({
    code: 'INDEX',
    message: expect.stringContaining('redstream relay'),
  })
  await app.dataSource.query(`DELETE FROM ${app.table.quoted}`)
  expect(await database.remove('everything')).toHaveLength(2)
  expect(await database.remove('everything')).toEqual([])
})

test('without a mode that needs it, nothing is made', async () => {
  app = await outboxed()
  const { database } = await app.open(undefined, { capture: 'subscriber' })
  expect(await database.plan()).toEqual([])
  // It may be there from a former mode.
  expect(await database.planRemoval('everything')).toHaveLength(2)
})
