import { createRequire } from 'node:module'

import { DataSource, EntitySchema } from 'typeorm'
import { afterAll, beforeAll, expect, it } from 'vitest'

import { watchedBy } from '../../../src/capture/watched-by.ts'
import { resolveDefinitions } from '../../../src/definitions.ts'
import { Indexed } from '../../../src/indexed.ts'
import { TriggersPart } from '../../../src/outbox/triggers/triggers-part.ts'
import { indexNamed } from '../../support/shapes.ts'
import { witness, type Witness } from './witness.ts'

class Thing {
  id!: number
}
Indexed({ index: indexNamed('things') })(Thing)
const schema = new EntitySchema<Thing>({
  name: 'Thing',
  target: Thing,
  tableName: 'things',
  columns: { id: { type: 'integer', primary: true } },
})

let w: Witness
beforeAll(async () => {
  w = await witness([schema], { tables: () => Promise.resolve(), apply: false })
})
afterAll(() => w.dispose())

it.each([
  ['no table', 'SELECT 1', 'there is no such table; run the migrations of the application first'],
  ['no key', 'CREATE TABLE things (id integer)', 'neither a primary key nor a unique index on (id)'],
  [
    'a partial index',
    'CREATE TABLE things (id integer); CREATE UNIQUE INDEX ON things (id) WHERE id > 0',
    'neither a primary key',
  ],
  [
    'a key that may be NULL',
    'CREATE TABLE things (id integer UNIQUE)',
    'its column "id", which is of the entity\'s key, may be NULL',
  ],
  [
    'a child with a key of its own',
    'CREATE TABLE ancestor (name text); CREATE TABLE things (id integer PRIMARY KEY) INHERITS (ancestor)',
    /its column "id" is not one of \w+\.ancestor, from which it inherits/,
  ],
  [
    'another key',
    'CREATE TABLE things (other integer PRIMARY KEY)',
    'it has no column "id", which is of the entity\'s key',
  ],
  ['a view', 'CREATE VIEW things AS SELECT 1 AS id', 'it is a view, which has no rows of its own'],
  ['a materialized view', 'CREATE MATERIALIZED VIEW things AS SELECT 1 AS id', 'it is a materialized view'],
  ['a foreign table', 'CREATE FOREIGN TABLE things (id integer) SERVER elsewhere', 'it is a foreign table'],
  [
    'a foreign partition',
    `CREATE TABLE things (id integer) PARTITION BY LIST (id);
     CREATE FOREIGN TABLE far PARTITION OF things FOR VALUES IN (1) SERVER elsewhere`,
    'far is a foreign table',
  ],
])('refuses a table that cannot be watched: %s', async (_, make, problem) => {
  const queryRunner = w.dataSource.createQueryRunner()
  const server = `s_${w.space.schema}`
  try {
    await queryRunner.query('CREATE EXTENSION IF NOT EXISTS file_fdw SCHEMA public')
    await queryRunner.query(
      `CREATE SERVER ${server} FOREIGN DATA WRAPPER file_fdw; ${make.replace('SERVER elsewhere', `SERVER ${server} OPTIONS (filename '/dev/null')`)}`,
    )
    await expect(w.part.plan()).rejects.toThrow(problem)
    expect((await w.part.problems())[0]).toContain('capture "trigger" cannot watch')
  } finally {
    await queryRunner.query(`DROP SERVER ${server} CASCADE`)
    await queryRunner.query(`DO $$ BEGIN
      EXECUTE coalesce((SELECT format('DROP %s things CASCADE', CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END)
        FROM pg_class WHERE oid = to_regclass('things')), 'SELECT 1'); END $$`)
    await queryRunner.query('DROP TABLE IF EXISTS ancestor')
    await queryRunner.release()
  }
})

class Other {
  id!: number
}
Indexed({ index: 'others' })(Other)
const other = new EntitySchema<Other>({
  name: 'Other',
  target: Other,
  columns: { id: { type: 'integer', primary: true } },
})

it('refuses other databases', async () => {
  const sqlite = await new DataSource({
    type: 'better-sqlite3',
    database: ':memory:',
    driver: createRequire(import.meta.url)('better-sqlite3-13') as unknown,
    entities: [other],
  }).initialize()
  try {
    const { tables } = watchedBy(['trigger'], sqlite, resolveDefinitions(sqlite), 'trigger')
    const part = new TriggersPart(sqlite, 'redstream', tables)
    await expect(part.plan()).rejects.toThrow(
      'needs PostgreSQL, and this DataSource is of the type "better-sqlite3"',
    )
    expect(await part.planRemoval('everything')).toEqual([])
  } finally {
    await sqlite.destroy()
  }
})
