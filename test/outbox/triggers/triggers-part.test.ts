import { DataSource } from 'typeorm'
import { afterEach, beforeEach, expect, it } from 'vitest'

import { formatSteps } from '../../../src/cli/database-steps.ts'
import { isRedstreamError } from '../../../src/errors.ts'
import { refuseServer } from '../../../src/outbox/triggers/refusals.ts'
import { TriggersPart } from '../../../src/outbox/triggers/triggers-part.ts'
import { TcpProxy } from '../../support/tcp-proxy.ts'
import { shop } from './entities.ts'
import { witness, type Witness } from './witness.ts'

let w: Witness
beforeEach(async () => {
  w = await witness(shop)
})
afterEach(() => w.dispose())

const notable = async (part = w.part): Promise<unknown[]> =>
  (await part.plan())
    .filter(({ action, reason }) => action !== 'nothing' || reason !== undefined)
    .map(({ object, action, reason }) => [object.replace(`${w.space.schema}.`, ''), action, reason])

/** The trigger of an event on the table `cities`, and the function of all its changes. */
async function names(event: string): Promise<{ trigger: string; function: string }> {
  const [found] = await w.dataSource.query<{ trigger: string; function: string }[]>(
    `SELECT quote_ident(tgname) AS trigger, tgfoid::regproc::text AS function FROM pg_trigger
     WHERE tgrelid = 'cities'::regclass AND tgname LIKE $1`,
    [`redstream\\_%\\_${event}`],
  )
  return found!
}

it('plans nothing when everything is in place, and says so', async () => {
  expect(await notable()).toEqual([])
  expect(await w.part.problems()).toEqual([])
  const steps = await w.part.apply()
  expect(steps.map(({ action, sql }) => [action, sql])).toEqual(steps.map(() => ['nothing', '']))
  expect(new Set(steps.map(({ object }) => object.split('.')[1]))).toEqual(
    new Set(['cities', 'city_tags', 'countries', 'tags']),
  )
})

it('plans what it does, and takes all of it back', async () => {
  const removed = await w.part.planRemoval('everything')
  expect(await w.part.remove('everything')).toEqual(removed)
  expect(await w.part.planRemoval('everything')).toEqual([])
  await w.sql(`INSERT INTO cities (name) VALUES ('Rome')`)
  expect(await w.entries()).toEqual([])
  const planned = await w.part.plan()
  expect(planned.map(({ action }) => action)).toEqual(planned.map(() => 'create'))
  expect((await w.part.problems())[0]).toMatch(/they are missing; changes are missed until `redstream init`/)
  expect(await w.part.apply()).toEqual(planned)
  expect(await notable()).toEqual([])
})

it('names a trigger that is disabled, gone, or not as it was made, and makes it anew', async () => {
  const [update, remove] = [await names('update'), await names('delete')]
  await w.sql(`ALTER TABLE cities DISABLE TRIGGER ${update.trigger}`)
  await w.sql(`DROP TRIGGER ${remove.trigger} ON cities`)
  await w.sql(`ALTER TABLE tags ENABLE TRIGGER ALL`)
  expect(await notable()).toEqual([
    [
      'triggers of cities',
      'replace',
      'the trigger for UPDATE is disabled; the trigger for DELETE is missing',
    ],
    [
      'triggers of tags',
      'replace',
      ['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']
        .map((event) => `the trigger for ${event} was altered by hand`)
        .join('; '),
    ],
  ])
  expect((await w.part.problems())[0]).toContain(
    'the trigger for UPDATE is disabled; the trigger for DELETE is missing; changes are missed',
  )
  await w.part.apply()
  expect(await notable()).toEqual([])
  await w.sql(`INSERT INTO cities (id) VALUES (1)`)
  await w.sql(`UPDATE cities SET name = 'x'`)
  expect((await w.told()).map(({ kind }) => kind)).toEqual(['insert', 'update'])
})

it('names a function that was altered by hand, and makes it anew without a lock on the table', async () => {
  const { function: called } = await names('insert')
  await w.sql(
    `CREATE OR REPLACE FUNCTION ${called}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
  )
  expect(await notable()).toEqual([
    ['triggers of cities', 'replace', expect.stringMatching(/^the function cities_\w+ was altered by hand$/)],
  ])
  const writer = w.dataSource.createQueryRunner()
  try {
    await writer.startTransaction()
    await writer.query('INSERT INTO cities (id) VALUES (1)')
    await w.part.apply()
    await writer.commitTransaction()
  } finally {
    await writer.release()
  }
  expect(await notable()).toEqual([])
})

it('replaces what is made for another declaration; what is not watched any more goes when that is asked for', async () => {
  const cities = w.watch.tables.find(({ metadata }) => metadata.tableName === 'cities')
  const fewer = { ...cities!, columns: new Set(['id', 'name']), former: [] }
  const part = new TriggersPart(w.dataSource, w.captureSchema, [fewer])
  expect(await notable(part)).toEqual([
    [
      'triggers of cities',
      'replace',
      expect.stringMatching(/the function cities_\w+ is of another declaration or version/),
    ],
  ])
  await part.apply()
  expect(await notable(part)).toEqual([])
  const unused = await part.remove('unused')
  expect(unused.map(({ object, action, reason }) => [object, action, reason])).toEqual([
    [expect.stringMatching(/^triggers of \w+\.city_tags$/), 'drop', undefined],
    [expect.stringMatching(/^triggers of \w+\.countries$/), 'drop', undefined],
    [expect.stringMatching(/^triggers of \w+\.tags$/), 'drop', undefined],
    ...Array.from({ length: 6 }, () => [expect.stringMatching(/^function .*/), 'drop', undefined]),
  ])
  await w.sql(`INSERT INTO cities (id) VALUES (1)`)
  await w.sql(`UPDATE cities SET facts = '{}'`)
  await w.sql(`INSERT INTO countries (code) VALUES ('IT')`)
  expect(await w.told()).toEqual([{ table: 'cities', kind: 'insert', key: { id: 1 } }])
  const none = new TriggersPart(w.dataSource, w.captureSchema, [])
  expect(await none.apply()).toEqual([])
  await none.remove('unused')
  expect(await none.planRemoval('everything')).toEqual([])
})

it('leaves alone what belongs to another schema of capture, and other people’s functions', async () => {
  const other = `${w.captureSchema}_2`
  await w.sql(`CREATE SCHEMA ${other}`)
  try {
    await w.sql(`CREATE TABLE ${other}.outbox (LIKE ${w.captureSchema}.outbox INCLUDING ALL)`)
    await w.sql(`CREATE FUNCTION ${other}.mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`)
    await w.sql(`CREATE TRIGGER mine BEFORE INSERT ON tags FOR EACH ROW EXECUTE FUNCTION ${other}.mine()`)
    const part = new TriggersPart(w.dataSource, other, w.watch.tables)
    await part.apply()
    expect(await notable()).toEqual([])
    await w.sql(`INSERT INTO cities (id) VALUES (1)`)
    expect(await w.entries()).toHaveLength(1)
    expect(await w.sql(`SELECT kind FROM ${other}.outbox`)).toEqual([{ kind: 'rows' }])
    await part.remove('everything')
    expect(await notable()).toEqual([])
    expect(
      await w.sql(
        `SELECT count(*)::int AS n FROM pg_trigger WHERE tgname = 'mine' AND tgrelid = 'tags'::regclass`,
      ),
    ).toEqual([{ n: 1 }])
  } finally {
    await w.sql(`DROP SCHEMA ${other} CASCADE`)
  }
})

it('gives up soon on a table that somebody holds, and has done the others', async () => {
  await w.part.remove('everything')
  const writer = w.dataSource.createQueryRunner()
  try {
    await writer.startTransaction()
    await writer.query('INSERT INTO tags (id) VALUES (1)')
    const failed = await w.part.apply().catch((error: unknown) => error)
    expect(isRedstreamError(failed) && failed.message).toMatch(
      /^triggers of \w+\.tags: another transaction has held the table for longer than 3 s/,
    )
  } finally {
    await writer.rollbackTransaction()
    await writer.release()
  }
  expect((await notable()).map((step) => (step as string[])[0])).toContain('triggers of tags')
  await w.part.apply()
  expect(await notable()).toEqual([])
})

it('knows what somebody has made by hand of what the plan prints', async () => {
  await w.part.remove('everything')
  const printed = formatSteps(await w.part.plan())
  await w.sql(printed.replaceAll(/^\S.*$/gm, ''))
  expect(await notable()).toEqual([])
})

it('holds no table when it is stopped, or cut off, in the middle', async () => {
  await w.part.remove('everything')
  const proxy = await TcpProxy.to(w.space.databaseUrl)
  const url = new URL(w.space.databaseUrl)
  url.port = String(proxy.port)
  const options = w.space.dataSourceOptions(shop)
  const dataSource = await new DataSource({ ...options, url: url.href }).initialize()
  try {
    const part = new TriggersPart(dataSource, w.captureSchema, w.watch.tables.slice(0, 1))
    proxy.dropReplies('CREATE TRIGGER')
    const stopped = part.apply().catch((error: unknown) => error)
    const own = new TriggersPart(w.dataSource, w.captureSchema, w.watch.tables.slice(0, 1))
    await expect.poll(() => notable(own)).toEqual([])
    proxy.cut()
    expect(isRedstreamError(await stopped)).toBe(true)
  } finally {
    await dataSource.destroy()
    await proxy.close()
  }
})

it('quotes names as they are', async () => {
  const other = `${w.captureSchema} "x" 'y' $redstream$`
  await w.sql(`CREATE SCHEMA "${other.replaceAll('"', '""')}"`)
  const quoted = `"${other.replaceAll('"', '""')}"`
  try {
    await w.sql(`CREATE TABLE ${quoted}.outbox (LIKE ${w.captureSchema}.outbox INCLUDING ALL)`)
    const part = new TriggersPart(w.dataSource, other, w.watch.tables)
    await part.apply()
    expect(await notable(part)).toEqual([])
    await w.sql('INSERT INTO tags (id) VALUES (1)')
    await w.sql('TRUNCATE tags CASCADE')
    expect(await w.sql(`SELECT count(*)::int AS n FROM ${quoted}.outbox`)).toEqual([{ n: 2 }])
    await part.remove('everything')
  } finally {
    await w.sql(`DROP SCHEMA ${quoted} CASCADE`)
  }
})

it('refuses servers that cannot do it', () => {
  expect(() => refuseServer({ version: 130_012, standby: false })).toThrow('needs PostgreSQL 14 or later')
  expect(() => refuseServer({ version: 180_004, standby: true })).toThrow('name the primary')
  expect(() => refuseServer({ version: 140_000, standby: false })).not.toThrow()
})
