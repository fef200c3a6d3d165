import { randomBytes } from 'node:crypto'

import { DataSource } from 'typeorm'
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'

import { settingsFrom } from '../../src/runtime/settings.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import { recordingLogger } from '../support/captured.ts'
import { auditStage, type Stage } from './stage.ts'

let stage: Stage
const role = `r${randomBytes(6).toString('hex')}`
beforeAll(async () => {
  stage = await auditStage()
  await stage.dataSource.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`)
  await stage.dataSource.query(`GRANT ALL ON SCHEMA ${stage.space.schema} TO ${role}`)
})
afterAll(async () => {
  await stage.dataSource.query(`DROP OWNED BY ${role} CASCADE`)
  await stage.dataSource.query(`DROP ROLE ${role}`)
  await stage.dispose()
})

/** The pipeline of a process that uses the role. */
async function pipelineOfRole(): Promise<Pipeline> {
  const { space, Country, City, Note, captureSchema } = stage
  const url = new URL(space.databaseUrl)
  url.username = role
  url.password = 'secret'
  const dataSource = new DataSource({
    ...space.dataSourceOptions([Country, City, Note]),
    url: url.href,
  })
  const pipeline = await openPipeline(
    {
      dataSource,
      redis: space.redisUrl,
      elasticsearch: space.elasticsearchUrl,
      settings: settingsFrom({ namespace: space.namespace, captureSchema }),
    },
    recordingLogger([]),
    { elasticsearch: false },
  )
  onTestFinished(() => pipeline.close())
  return pipeline
}

const span = { forMs: 1, graceMs: 1, signal: new AbortController().signal }

it('says which rights are missing, and leaves nothing behind', async () => {
  const { dataSource, pipeline, captureSchema } = stage
  const limited = await pipelineOfRole()
  await expect(limited.audit({ against: 'trigger', ...span })).rejects.toThrow(
    'permission denied for database',
  )
  await expect(limited.audit({ against: 'wal', ...span })).rejects.toThrow(/must be owner|permission denied/)

  const [database] = (await dataSource.query('SELECT quote_ident(current_database()) AS name')) as [
    { name: string },
  ]
  await dataSource.query(`GRANT CREATE ON DATABASE ${database.name} TO ${role}`)
  for (const against of ['trigger', 'wal'] as const)
    await expect(limited.audit({ against, ...span })).rejects.toThrow(/must (own|be owner of)/)
  const tables = ['countries', 'cities', 'notes']
  for (const table of tables) await dataSource.query(`ALTER TABLE ${table} OWNER TO ${role}`)
  await expect(limited.audit({ against: 'wal', ...span })).rejects.toThrow(
    /the role must own the tables, .* and have the attribute REPLICATION .* audit against "trigger"$/,
  )
  expect(await limited.audit({ against: 'trigger', ...span })).toMatchObject({ changes: 0, complete: true })
  for (const table of tables) await dataSource.query(`ALTER TABLE ${table} OWNER TO CURRENT_USER`)

  expect(await pipeline.cleanAudits()).toEqual([])
  const [left] = (await dataSource.query(
    'SELECT to_regnamespace($1) IS NULL AND NOT EXISTS (SELECT FROM pg_publication WHERE pubname = $1) AS nothing',
    [`${captureSchema}_audit`],
  )) as [{ nothing: boolean }]
  expect(left.nothing).toBe(true)
})

it('refuses a table whose rows the log does not name, for it would refuse the application’s writes', async () => {
  const { dataSource, pipeline } = stage
  await dataSource.query('ALTER TABLE notes REPLICA IDENTITY NOTHING')
  onTestFinished(async () => {
    await dataSource.query('ALTER TABLE notes REPLICA IDENTITY DEFAULT')
  })
  await expect(pipeline.audit({ against: 'wal', ...span })).rejects.toThrow(
    /REPLICA IDENTITY is not the primary key; ALTER TABLE \S+notes REPLICA IDENTITY DEFAULT/,
  )
})

it('lets the application write tables whose log tells whole rows, with columns that the database generates', async () => {
  const { dataSource } = stage
  await dataSource.query('ALTER TABLE notes ADD COLUMN twice text GENERATED ALWAYS AS (name || name) STORED')
  await dataSource.query('ALTER TABLE notes REPLICA IDENTITY FULL')
  onTestFinished(async () => {
    await dataSource.query('ALTER TABLE notes DROP COLUMN twice; ALTER TABLE notes REPLICA IDENTITY DEFAULT')
  })
  await dataSource.query(`INSERT INTO notes (name) VALUES ('a')`)
  const audit = await stage.audit('wal', 1_000)
  await dataSource.query(`UPDATE notes SET name = 'b'`)
  await audit.seen(1)
  expect(await audit.finish()).toMatchObject({ changes: 1 })
})

it('refuses a table that others inherit from: it would refuse the application’s writes to those without a key', async () => {
  const { dataSource, pipeline } = stage
  await dataSource.query('CREATE TABLE heirs () INHERITS (notes)')
  onTestFinished(async () => {
    await dataSource.query('DROP TABLE heirs')
  })
  await expect(pipeline.audit({ against: 'wal', ...span })).rejects.toThrow(
    /notes has tables that inherit from it .* audit against "trigger"/,
  )
})
