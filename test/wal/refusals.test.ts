import { DataSource } from 'typeorm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { LogNotes } from '../../src/wal/log-notes.ts'
import { LogPart } from '../../src/wal/log-part.ts'
import { becomeVisible } from '../../src/wal/visible.ts'
import { eventually } from '../support/streams.ts'
import { shop } from './shop.ts'
import { followed, type Followed } from './support.ts'

let app: Followed
let role: string

beforeAll(async () => {
  app = await followed(shop)
  role = `${app.space.schema}_role`
})
afterAll(async () => {
  await app?.sql(`DROP OWNED BY "${role}"; DROP ROLE "${role}"`).catch(() => undefined)
  await app?.dispose()
})

/** The same, as a user who may only read and write. */
async function asOther<T>(work: (log: Followed['log']) => Promise<T>): Promise<T> {
  await app.sql(`CREATE ROLE "${role}" LOGIN PASSWORD 'secret'`).catch(() => undefined)
  await app.sql(`GRANT USAGE ON SCHEMA "${app.space.schema}" TO "${role}"`)
  await app.sql(`GRANT SELECT ON ALL TABLES IN SCHEMA "${app.space.schema}" TO "${role}"`)
  const url = new URL(app.space.databaseUrl)
  url.username = role
  url.password = 'secret'
  const options = { ...app.space.dataSourceOptions(shop as never), url: url.href }
  const dataSource = await new DataSource(options).initialize()
  try {
    return await work({ ...app.log, dataSource })
  } finally {
    await dataSource.destroy()
  }
}

describe('what the server refuses is told with its cure', () => {
  test('a user who does not own the publication', async () => {
    await app.sql(`ALTER PUBLICATION "${app.log.names.publication}" DROP TABLE tags`)
    await asOther(async (log) => {
      await expect(new LogPart(log).apply()).rejects.toThrow(
        /publication.*redstream init.*as the owner of the tables/,
      )
    })
    await app.part.apply()
    await app.log.notes.forget()
  })

  test('a user who may not replicate', async () => {
    await asOther(async (log) => {
      const names = { ...log.names, slot: `${log.names.slot}_2` }
      const notes = new LogNotes(log.redis, `${app.space.namespace}-2`)
      await expect(new LogPart({ ...log, names, notes }).apply()).rejects.toThrow(/ALTER ROLE … REPLICATION/)
    })
  })

  test('an index with this capture on another database', async () => {
    const { logSiteOf } = await import('../../src/wal/site.ts')
    const { dataSource } = app
    const options = { ...dataSource.options, type: 'mariadb' }
    const other = new Proxy(dataSource, {
      get: (target, name) => (name === 'options' ? options : Reflect.get(target, name)),
    })
    expect(() => logSiteOf(app.log.sources, { ...app.log, dataSource: other })).toThrow(/of type "mariadb"/)
  })
})

test('a commit is waited for until others see it', async () => {
  const queryRunner = app.dataSource.createQueryRunner()
  await queryRunner.startTransaction()
  const [{ xid }] = (await queryRunner.query('SELECT pg_current_xact_id()::text AS xid')) as [{ xid: string }]
  let isVisible = false
  const seen = becomeVisible(
    app.dataSource,
    new Set([Number(BigInt.asUintN(32, BigInt(xid)))]),
    new AbortController().signal,
  ).then(() => (isVisible = true))
  await app.sql('SELECT 1')
  await app.sql('SELECT 1')
  expect(isVisible).toBe(false)
  await queryRunner.commitTransaction()
  await queryRunner.release()
  await seen
})

test('status, health and the metrics tell of the slot', async () => {
  const { healthProblems } = await import('../../src/runtime/health.ts')
  const { formatStatus } = await import('../../src/cli/status-table.ts')
  const limits = { maxLagMs: 60_000, stallAfterMs: 60_000, walWarnLag: 2 ** 40 }
  const before = await app.pipeline.status()
  expect(before.log).toMatchObject({ slot: app.log.names.slot, state: 'waits', verify: [] })
  expect(healthProblems(before, limits, ['follower']).map(({ kind }) => kind)).toContain('follower')
  app.start('follower')
  await eventually(async () => expect((await app.pipeline.status()).log?.state).toBe('read'))
  await app.log.notes.demand(['cities'], 'of a test')
  const after = await app.pipeline.status()
  expect(healthProblems(after, limits, []).map(({ problem }) => problem)).toContain('verify-due')
  expect(formatStatus(after)).toMatch(/a follower reads it.*\n.*redstream verify cities --repair/)
  const { Metrics } = await import('../../src/runtime/metrics.ts')
  const scraped = await new Metrics(app.pipeline.events, []).scrape(after, [])
  expect(scraped).toContain('redstream_verify_due{index="cities"} 1')
  expect(scraped).toContain(`redstream_log_read{slot="${app.log.names.slot}"} 1`)
})
