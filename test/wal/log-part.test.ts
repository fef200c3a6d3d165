import { afterEach, beforeEach, expect, test } from 'vitest'

import { checkTables } from '../../src/wal/check-tables.ts'
import { eventually } from '../support/streams.ts'
import { shop } from './shop.ts'
import { followed, type Followed } from './support.ts'

let app: Followed

beforeEach(async () => {
  app = await followed(shop)
})
afterEach(() => app?.dispose())

const actions = async () => (await app.part.plan()).map(({ object, action }) => `${action} ${object}`)
const named = (text: string): string => text.replaceAll(app.space.schema, 'SPACE')

test('what is made once is left as it is', async () => {
  expect((await actions()).map(named)).toEqual([
    'nothing publication SPACE',
    'nothing replication slot SPACE_postgres',
  ])
  expect(await app.part.apply()).toEqual(await app.part.plan())
  const [slot] = (await app.sql('SELECT failover FROM pg_replication_slots WHERE slot_name = $1', [
    app.log.names.slot,
  ])) as { failover: boolean }[]
  expect(slot).toEqual({ failover: true })
})

test('what was undone by hand is planned and made again; the log is not followed until then', async () => {
  await app.sql(`ALTER PUBLICATION "${app.log.names.publication}" DROP TABLE tags`)
  await app.sql(`ALTER PUBLICATION "${app.log.names.publication}" SET (publish = 'insert')`)
  await app.sql('CREATE TABLE other (id integer PRIMARY KEY)')
  await app.sql(`ALTER PUBLICATION "${app.log.names.publication}" ADD TABLE other`)
  await app.sql('ALTER TABLE offers REPLICA IDENTITY DEFAULT')
  await expect(checkTables(app.log)).rejects.toThrow(
    /leaves out some kinds of writes.*tags is not in the publication.*offers does not tell the former values of product_id/,
  )
  const plan = await app.part.plan()
  expect(plan.map(({ sql }) => named(sql))).toEqual([
    'ALTER TABLE SPACE.offers REPLICA IDENTITY FULL',
    `ALTER PUBLICATION "SPACE" SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true, publish_generated_columns = stored)`,
    'ALTER PUBLICATION "SPACE" ADD TABLE SPACE.tags',
    '',
  ])
  await app.part.apply()
  const unused = await app.part.remove('unused')
  expect(unused.map(({ sql }) => named(sql))).toEqual(['ALTER PUBLICATION "SPACE" DROP TABLE SPACE.other'])
  await expect(checkTables(app.log)).resolves.toHaveLength(4)
})

test('a table without a key is refused, lest the application could not update it any more', async () => {
  const [{ name }] = (await app.sql(
    `SELECT conname AS name FROM pg_constraint WHERE conrelid = to_regclass('tags') AND contype = 'p'`,
  )) as [{ name: string }]
  await app.sql(`ALTER TABLE tags DROP CONSTRAINT "${name}" CASCADE`)
  await expect(app.part.plan()).rejects.toThrow(/tags has no primary key.*ADD PRIMARY KEY/)
  await app.sql('ALTER TABLE tags REPLICA IDENTITY FULL')
  expect(await actions()).toHaveLength(2)
})

test('a table that others inherit from is refused, whose rows the log tells by other names', async () => {
  await app.sql('CREATE TABLE labels () INHERITS (tags)')
  await expect(app.part.plan()).rejects.toThrow(/tags has tables that inherit from it.*"trigger"/)
})

test('generated columns stay writable: PostgreSQL refuses updates of whole rows whose log leaves them out', async () => {
  await app.sql('ALTER TABLE offers ADD COLUMN tax integer GENERATED ALWAYS AS (price / 5) STORED')
  await app.sql('INSERT INTO offers VALUES (1, 5)')
  await app.sql('UPDATE offers SET price = 10')
  await app.sql('ALTER TABLE offers ADD COLUMN gross integer GENERATED ALWAYS AS (price * 2) VIRTUAL')
  await expect(app.sql('UPDATE offers SET price = 15')).rejects.toThrow(/cannot update/)
  await expect(app.part.plan()).rejects.toThrow(/offers has a virtual generated column.*STORED/)
  await app.sql('ALTER TABLE offers REPLICA IDENTITY DEFAULT')
  await expect(app.part.plan()).rejects.toThrow(/offers has a virtual generated column.*STORED/)
})

test('a partitioned table is told as one, and each partition tells its former values', async () => {
  await app.sql('DROP TABLE offers')
  await app.sql(
    'CREATE TABLE offers (id integer PRIMARY KEY, price integer, product_id integer) PARTITION BY RANGE (id)',
  )
  await app.sql('CREATE TABLE offers_1 PARTITION OF offers FOR VALUES FROM (0) TO (100)')
  expect((await app.part.apply()).map(({ sql }) => named(sql))).toEqual([
    'ALTER TABLE SPACE.offers REPLICA IDENTITY FULL',
    'ALTER TABLE SPACE.offers_1 REPLICA IDENTITY FULL',
    'ALTER PUBLICATION "SPACE" ADD TABLE SPACE.offers',
    '',
  ])
  app.start('follower')
  await app.sql('INSERT INTO offers VALUES (1, 5, 7)')
  await app.sql('UPDATE offers SET product_id = 8')
  const stream = `embedded:${app.space.schema}.offers`
  await eventually(async () =>
    expect(await app.messages(stream)).toEqual(
      expect.arrayContaining([{ id: '1', before: ['{"product_id":"7"}'] }]),
    ),
  )
})

test('removes everything that it made', async () => {
  await app.part.remove('everything')
  expect(
    (await app.part.plan()).filter(({ action }) => action !== 'nothing').map(({ object }) => named(object)),
  ).toEqual(['replica identity of SPACE.offers', 'publication SPACE', 'replication slot SPACE_postgres'])
})
