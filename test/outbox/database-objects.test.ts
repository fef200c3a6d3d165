import { afterEach, expect, test } from 'vitest'

import { alone } from '../../src/capture/database-objects.ts'
import { formatDone, formatSteps } from '../../src/cli/database-steps.ts'
import { entriesFor } from '../../src/outbox/entry.ts'
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

test('does not wait for ever for another one that does not come to an end', async () => {
  app = await outboxed()
  const { dataSource } = app
  const name = String(app.table.schema)
  const began = Promise.withResolvers<void>()
  const stuck = Promise.withResolvers<void>()
  const other = alone(dataSource, name, () => {
    began.resolve()
    return stuck.promise
  })
  await began.promise
  await expect(alone(dataSource, name, async () => 'done', 0)).rejects.toMatchObject({
    code: 'DATABASE',
    message: expect.stringContaining(`with the captureSchema "${name}" has not come to an end within 0 s`),
  })
  stuck.resolve()
  await other
  expect(await alone(dataSource, name, async () => 'done', 0)).toBe('done')
})

test('says that a pool of one connection is too small, rather than wait for a second one', async () => {
  app = await outboxed()
  const { database } = await app.open(undefined, {}, { poolSize: 1 })
  const refusal = { code: 'CONFIG', message: expect.stringContaining('set poolSize to 2 or more') }
  await expect(database.apply()).rejects.toMatchObject(refusal)
  await expect(database.remove('everything')).rejects.toMatchObject(refusal)
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

test('is not removed with what is committed while it is looked at', async () => {
  app = await outboxed()
  const { database } = app.pipeline
  const writer = app.dataSource.createQueryRunner()
  try {
    await writer.startTransaction()
    await app.table.write(writer, entriesFor('cities', 'main', [{ id: '7' }]))
    const removed = database.remove('everything').catch((error: unknown) => error)
    const waits = (): Promise<unknown[]> =>
      app.dataSource.query('SELECT pid FROM pg_locks WHERE relation = $1::regclass AND NOT granted', [
        app.table.path,
      ])
    await expect.poll(waits).toHaveLength(1)
    await writer.commitTransaction()
    expect(await removed).toMatchObject({
      code: 'INDEX',
      message: expect.stringContaining('entries in it are not published yet'),
    })
  } finally {
    await writer.release()
  }
  expect(await app.entries()).toHaveLength(1)
})

test('without a mode that needs it, nothing is made', async () => {
  app = await outboxed()
  const { database } = await app.open(undefined, { capture: 'subscriber' })
  expect(await database.plan()).toEqual([])
  // It may be there from a former mode.
  expect(await database.planRemoval('everything')).toHaveLength(2)
})

test('is not removed while a transaction stays open, and says why', async () => {
  app = await outboxed()
  const { database } = app.pipeline
  await app.dataSource.transaction(async (inside) => {
    await inside.query(`INSERT INTO ${app.table.quoted} (kind, source, body) VALUES ('bulk', 'cities', '[]')`)
    await expect(database.remove('everything')).rejects.toMatchObject({
      code: 'DATABASE',
      message: expect.stringContaining('another transaction has held it'),
    })
  })
})
