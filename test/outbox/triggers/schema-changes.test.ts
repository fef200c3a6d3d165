import { afterEach, beforeEach, expect, it } from 'vitest'

import { OutboxTable } from '../../../src/outbox/outbox-table.ts'
import { TableChanges } from '../../../src/outbox/table-changes.ts'
import { shop } from './entities.ts'
import { witness, type Witness } from './witness.ts'

let w: Witness
beforeEach(async () => {
  w = await witness(shop)
  await w.sql(`INSERT INTO countries (code) VALUES ('IT'), ('FR')`)
  await w.sql(`INSERT INTO cities (id, name, country_code) VALUES (1, 'Rome', 'IT'), (2, 'Paris', 'FR')`)
  // The plans of the functions are made, and have to be made anew.
  await w.sql(`UPDATE cities SET name = name || '!'`)
  await w.entries()
})
afterEach(() => w.dispose())

const ids = async (): Promise<unknown[]> => (await w.told()).map(({ key, kind }) => [kind, key])

it('goes on when columns come and go that it does not watch', async () => {
  await w.sql('ALTER TABLE cities ADD COLUMN visits integer DEFAULT 1, DROP COLUMN IF EXISTS unknown')
  await w.sql(`UPDATE cities SET name = 'x' WHERE id = 1`)
  await w.sql('ALTER TABLE cities DROP COLUMN visits')
  await w.sql(`UPDATE cities SET name = 'x' WHERE id = 2`)
  expect(await ids()).toEqual([
    ['update', { id: 1 }],
    ['update', { id: 2 }],
  ])
  expect((await w.part.plan()).every(({ action, reason }) => action === 'nothing' && !reason)).toBe(true)
})

it('goes on when a watched column gets another type', async () => {
  await w.sql(
    'ALTER TABLE cities ALTER COLUMN name DROP DEFAULT, ALTER COLUMN name TYPE json USING to_json(name)',
  )
  await w.sql(`UPDATE cities SET name = '"x"' WHERE id = 1`)
  expect(await ids()).toEqual([['update', { id: 1 }]])
})

it.each(['ALTER TABLE cities RENAME COLUMN name TO title', 'ALTER TABLE cities DROP COLUMN name'])(
  'lets writes pass, and tells of every update, after %s',
  async (change) => {
    await w.sql(change)
    await w.sql('UPDATE cities SET main_tag = main_tag WHERE id = 1')
    await w.sql('INSERT INTO cities (id) VALUES (3)')
    await w.sql('DELETE FROM cities WHERE id = 2')
    expect(await ids()).toEqual([
      ['update', { id: 1 }],
      ['delete', { id: 2 }],
      ['insert', { id: 3 }],
    ])
    const step = (await w.part.plan()).find(({ reason }) => reason !== undefined)
    expect(step?.object).toBe(`triggers of ${w.space.schema}.cities`)
    expect(step?.reason).toContain('has no column "name"')
    expect(step?.reason).toContain('redstream verify')
  },
)

it('lets writes pass after a foreign key is renamed, and says in the entry what to do', async () => {
  await w.sql('ALTER TABLE cities RENAME COLUMN country_code TO country')
  await w.sql(`UPDATE cities SET country = 'FR' WHERE id = 1`)
  await expect(w.told()).rejects.toThrow('the column "country_code" was missing')
  await w.sql('DELETE FROM cities WHERE id = 1')
  await expect(w.told()).rejects.toThrow('redstream verify NAME --repair')
})

it('lets writes pass after the key is renamed, and says in the entry what to do', async () => {
  await w.sql('ALTER TABLE cities RENAME COLUMN id TO city_id')
  for (const statement of [
    `UPDATE cities SET name = 'x' WHERE city_id = 1`,
    'INSERT INTO cities (city_id) VALUES (3)',
    'DELETE FROM cities WHERE city_id = 1',
    'TRUNCATE cities CASCADE',
  ]) {
    await w.sql(statement)
    await expect(w.told()).rejects.toThrow('the column "id" was missing')
  }
  await expect(w.part.plan()).rejects.toThrow('it has no column "id"')
})

it('lets writes pass when the session began before the change', async () => {
  const queryRunner = w.dataSource.createQueryRunner()
  try {
    await queryRunner.startTransaction('REPEATABLE READ')
    await queryRunner.query('SELECT count(*) FROM countries')
    await w.sql('ALTER TABLE cities RENAME COLUMN id TO city_id')
    await w.sql('ALTER TABLE cities RENAME COLUMN name TO title')
    await queryRunner.query(`UPDATE cities SET title = 'x' WHERE city_id = 2`)
    await queryRunner.commitTransaction()
  } finally {
    await queryRunner.release()
  }
  await expect(w.told()).rejects.toThrow('the column "id" was missing')
})

it('lets writes pass when the table is renamed and another takes its name', async () => {
  await w.sql('ALTER TABLE cities RENAME TO towns')
  await w.sql('CREATE TABLE cities (id integer)')
  await w.sql(`UPDATE towns SET name = 'x' WHERE id = 1`)
  await w.sql('TRUNCATE towns CASCADE')
  const [update, truncate] = await w.entries()
  expect(JSON.parse(update!.body)).toMatchObject({ op: 'update', key: { id: ['1'] } })
  expect(JSON.parse(truncate!.body)).toEqual({ op: 'delete', key: { id: [null] } })
})

it('reads what was told of a column that came while it waited', async () => {
  await w.sql('ALTER TABLE cities RENAME COLUMN country_code TO later')
  const decoder = new TableChanges(w.dataSource, w.watch.tables)
  const ready = (): Promise<void> =>
    new OutboxTable(w.dataSource, w.captureSchema).onRunner((runner) => decoder.ready(runner))
  await ready()
  await w.sql('ALTER TABLE cities RENAME COLUMN later TO country_code')
  await w.sql('DELETE FROM cities WHERE id = 1')
  const [entry] = await w.entries()
  await ready()
  expect(decoder.changesOf(entry!)).toMatchObject([{ key: { id: 1 }, before: { country_code: 'IT' } }])
})

it('says what to do about triggers that outlive the entity of their table', async () => {
  await w.sql('DELETE FROM cities WHERE id = 1')
  const [entry] = await w.entries()
  const decoder = new TableChanges(w.dataSource, [])
  expect(() => decoder.changesOf(entry!)).toThrow(
    /has the table \w+\.cities: .* run `redstream uninstall --unused`, then `redstream verify NAME --repair`, and delete/,
  )
})
