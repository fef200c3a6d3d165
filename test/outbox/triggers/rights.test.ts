import { DataSource, EntitySchema } from 'typeorm'
import { afterAll, beforeAll, expect, it } from 'vitest'

import { Indexed } from '../../../src/indexed.ts'
import { OutboxPart } from '../../../src/outbox/outbox-part.ts'
import { OutboxTable } from '../../../src/outbox/outbox-table.ts'
import { TriggersPart } from '../../../src/outbox/triggers/triggers-part.ts'
import { indexNamed } from '../../support/shapes.ts'
import { shop } from './entities.ts'
import { witness, type Witness } from './witness.ts'

let w: Witness
const roles: string[] = []
const sources: DataSource[] = []

/** The database as another role sees it. */
async function as(role: string): Promise<DataSource> {
  const options = w.space.dataSourceOptions(shop)
  const dataSource = await new DataSource({
    ...options,
    extra: { options: `-c search_path=${w.space.schema} -c role=${role}` },
  }).initialize()
  sources.push(dataSource)
  return dataSource
}

let owner: string
let application: string
let relay: string
beforeAll(async () => {
  w = await witness(shop, { apply: false })
  const make = async (suffix: string): Promise<string> => {
    const role = `${w.space.schema}_${suffix}`
    roles.push(role)
    await w.sql(`CREATE ROLE ${role}`)
    return role
  }
  owner = await make('owner')
  application = await make('application')
  relay = await make('relay')
  const { schema } = w.space
  for (const { metadata } of w.watch.tables)
    await w.sql(`ALTER TABLE ${metadata.tableName} OWNER TO ${owner}`)
  await w.sql(`GRANT USAGE ON SCHEMA ${schema} TO ${application}, ${owner};
    GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA ${schema} TO ${application};
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA ${schema} TO ${application}`)
})
afterAll(async () => {
  await Promise.all(sources.map((source) => source.destroy()))
  for (const role of roles) await w.sql(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`)
  await w.dispose()
})

it('says which rights init needs, and takes those of the owner of the tables', async () => {
  const refused = new TriggersPart(await as(application), w.captureSchema, w.watch.tables)
  await expect(refused.apply()).rejects.toThrow(
    /permission denied for schema .* must own the watched tables, and may create in the schema/,
  )
  const dataSource = await as(owner)
  const part = new TriggersPart(dataSource, w.captureSchema, w.watch.tables)
  await w.sql(`GRANT USAGE, CREATE ON SCHEMA ${w.captureSchema} TO ${owner}`)
  await w.sql(`GRANT INSERT ON ${w.captureSchema}.outbox TO ${owner}`)
  await part.apply()
  expect(await part.problems()).toEqual([])
})

it('lets the application write without any right in the schema of capture', async () => {
  const dataSource = await as(application)
  await expect(dataSource.query(`SELECT * FROM ${w.captureSchema}.outbox`)).rejects.toThrow(
    'permission denied',
  )
  await dataSource.query(`INSERT INTO cities (id, name) VALUES (1, 'Rome'), (2, 'Paris')`)
  await dataSource.query(`UPDATE cities SET name = 'x' WHERE id = 1`)
  await dataSource.query('DELETE FROM cities WHERE id = 2')
  await dataSource.query('TRUNCATE cities CASCADE')
  expect((await w.told()).map(({ key, kind }) => [kind, key])).toEqual([
    ['delete', { id: 1 }],
    ['insert', { id: 1 }],
    ['update', { id: 1 }],
    ['delete', { id: 2 }],
    ['insert', { id: 2 }],
  ])
  // It may look at what is wrong all the same: catalogs are open to everybody.
  expect(await new TriggersPart(dataSource, w.captureSchema, w.watch.tables).problems()).toEqual([])
})

it('lets nobody use the functions for tables of his own', async () => {
  await w.sql(
    `GRANT USAGE ON SCHEMA ${w.captureSchema} TO ${relay}; GRANT USAGE, CREATE ON SCHEMA ${w.space.schema} TO ${relay}`,
  )
  const dataSource = await as(relay)
  const [found] = await w.dataSource.query<{ name: string }[]>(
    `SELECT tgfoid::regproc::text AS name FROM pg_trigger WHERE tgrelid = 'tags'::regclass AND tgname LIKE '%\\_insert'`,
  )
  await dataSource.query('CREATE TABLE mine (id integer)')
  await expect(
    dataSource.query(
      `CREATE TRIGGER t AFTER INSERT ON mine REFERENCING NEW TABLE AS inserted EXECUTE FUNCTION ${found!.name}()`,
    ),
  ).rejects.toThrow('permission denied for function')
})

it('is not fooled by a schema before the catalog, nor by temporary tables of the same name', async () => {
  const dataSource = await as(application)
  const queryRunner = dataSource.createQueryRunner()
  try {
    await queryRunner.query(`CREATE TEMP TABLE inserted (id integer); CREATE TEMP TABLE outbox (LIKE inserted);
      CREATE FUNCTION pg_temp.json_agg(text) RETURNS json LANGUAGE sql AS $$ SELECT '["stolen"]'::json $$;
      SET search_path = pg_temp, ${w.space.schema}`)
    await queryRunner.query(`INSERT INTO ${w.space.schema}.tags (id) VALUES (7)`)
    await queryRunner.query(`RESET ALL`)
  } finally {
    await queryRunner.release()
  }
  expect(await w.told()).toEqual([{ table: 'tags', kind: 'insert', key: { id: 7 } }])
})

it('lets a relay take what was told with rights on the outbox alone', async () => {
  await w.sql('INSERT INTO tags (id) VALUES (8)')
  const dataSource = await as(relay)
  const outbox = new OutboxTable(dataSource, w.captureSchema)
  await expect(dataSource.query(`SELECT * FROM ${outbox.quoted}`)).rejects.toThrow('permission denied')
  await w.sql(`GRANT SELECT, UPDATE, DELETE ON ${outbox.quoted} TO ${relay}`)
  const taken: unknown = await dataSource.query(
    `DELETE FROM ${outbox.quoted} WHERE id IN (SELECT id FROM ${outbox.quoted} FOR UPDATE SKIP LOCKED) RETURNING kind`,
  )
  expect(taken).toEqual([[{ kind: 'rows' }], 1])
})

it('makes the outbox and the triggers as the same role', async () => {
  const captureSchema = `${w.captureSchema}_own`
  await w.sql(`CREATE SCHEMA ${captureSchema} AUTHORIZATION ${owner}`)
  const dataSource = await as(owner)
  await new OutboxPart(new OutboxTable(dataSource, captureSchema)).apply()
  const part = new TriggersPart(dataSource, captureSchema, w.watch.tables)
  await part.apply()
  await (await as(application)).query('INSERT INTO tags (id) VALUES (9)')
  expect(await w.sql(`SELECT kind FROM ${captureSchema}.outbox`)).toEqual([{ kind: 'rows' }])
  await part.remove('everything')
})

class Moody {
  mood!: string
}
Indexed({ index: indexNamed('moody') })(Moody)
const moody = new EntitySchema<Moody>({
  name: 'Moody',
  target: Moody,
  columns: { mood: { type: 'enum', enum: ['sad', 'glad'], primary: true } },
})

it('runs no cast that the owner of a type has given it', async () => {
  const own = await witness([moody], {
    tables: ({ manager }) =>
      manager.query(`CREATE TYPE mood AS ENUM ('sad', 'glad');
        CREATE FUNCTION whoever(mood) RETURNS text LANGUAGE sql AS $$ SELECT current_user::text $$;
        CREATE CAST (mood AS text) WITH FUNCTION whoever(mood);
        CREATE TABLE moody (mood mood PRIMARY KEY)`),
  })
  try {
    await own.sql(`INSERT INTO moody VALUES ('glad')`)
    expect(await own.told()).toEqual([{ table: 'moody', kind: 'insert', key: { mood: 'glad' } }])
  } finally {
    await own.dispose()
  }
})

it('lets a TRUNCATE pass whose rows a policy hides from the owner of the table, and says so', async () => {
  const captureSchema = `${w.captureSchema}_policy`
  await w.sql(`CREATE SCHEMA ${captureSchema} AUTHORIZATION ${owner}`)
  const dataSource = await as(owner)
  const outbox = new OutboxTable(dataSource, captureSchema)
  await new OutboxPart(outbox).apply()
  const part = new TriggersPart(dataSource, captureSchema, w.watch.tables)
  await part.apply()
  await w.sql('ALTER TABLE tags ENABLE ROW LEVEL SECURITY; ALTER TABLE tags FORCE ROW LEVEL SECURITY')
  await w.sql('CREATE POLICY odd ON tags USING (id % 2 = 1)')
  await w.sql('INSERT INTO tags (id) VALUES (101), (102)')
  await w.sql(`DELETE FROM ${outbox.quoted}`)
  const queryRunner = (await as(application)).createQueryRunner()
  try {
    await queryRunner.query('SET row_security = off')
    await queryRunner.query('TRUNCATE tags CASCADE')
    await queryRunner.query('RESET ALL')
  } finally {
    await queryRunner.release()
  }
  const ops = await w.dataSource.query<{ op: string }[]>(
    `SELECT body::json->>'op' AS op FROM ${outbox.quoted} WHERE source LIKE '%.tags' ORDER BY id`,
  )
  expect(ops).toEqual([{ op: 'delete' }, { op: 'truncate' }])
  await part.remove('everything')
})
