import path from 'node:path'

import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'

import type { AuditReport } from '../../src/audit/report.ts'
import { conclusions } from '../../src/cli/audit-table.ts'
import { auditStage, slotTimeout, type Stage } from '../audit/stage.ts'
import { createProject, type Project } from '../support/project.ts'

const program = path.join(import.meta.dirname, '../../bin/redstream.js')

describe('redstream audit', { timeout: slotTimeout }, () => {
  let stage: Stage
  let project: Project
  let schema: string
  beforeAll(async () => {
    stage = await auditStage()
    const { space, captureSchema } = stage
    schema = `${captureSchema}_audit`
    project = createProject({
      'redstream.ts': `
        import { defineConfig, Indexed } from 'redstream'
        import { Column, DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm'
        @Indexed({ index: '${space.indexPrefix}notes' })
        @Entity({ name: 'notes' })
        class Note {
          @PrimaryGeneratedColumn({ type: 'integer' }) id!: number
          @Column({ type: 'text' }) name!: string
        }
        const url = process.env.DATABASE_URL
        export default defineConfig({
          dataSource: new DataSource({ type: 'postgres', url, schema: '${space.schema}', entities: [Note] }),
          namespace: '${space.namespace}',
          captureSchema: '${captureSchema}',
        })`,
    })
  })
  afterAll(async () => {
    project.dispose()
    await stage.dispose()
  })

  const run = (args: readonly string[], env: Record<string, string> = {}) =>
    execa(process.execPath, [program, ...args, '--config', 'redstream.ts'], {
      cwd: project.directory,
      env,
      reject: false,
      // However long a graceful end takes.
      forceKillAfterDelay: false,
    })

  const eventually = <T>(check: () => Promise<T>): Promise<T> =>
    vi.waitFor(check, { timeout: slotTimeout, interval: 50 })

  const count = async (sql: string): Promise<number> => {
    const [row] = (await stage.dataSource.query(`SELECT count(*)::int AS count FROM ${sql}`)) as [
      { count: number },
    ]
    return row.count
  }

  const groups = async (): Promise<string[]> => {
    const { namespace, indexPrefix } = stage.space
    const key = `${namespace}:redstream:{${indexPrefix}notes}:main`
    const found = (await stage.space.redis().xinfo('GROUPS', key)) as unknown[][]
    return found.map((group) => String(group[1]))
  }

  /** Resolves when the shadow of a running audit sees what is written. */
  const follows = {
    trigger: () =>
      eventually(async () => expect(await count(`pg_trigger WHERE tgrelid = 'notes'::regclass`)).toBe(4)),
    wal: () =>
      eventually(async () =>
        expect(
          await count(
            `pg_replication_slots WHERE slot_name LIKE '${schema}%' AND confirmed_flush_lsn IS NOT NULL`,
          ),
        ).toBe(1),
      ),
  }

  const insert = (name: string) => stage.dataSource.query(`INSERT INTO notes (name) VALUES ($1)`, [name])

  test.each(['trigger', 'wal'] as const)(
    'SIGTERM ends it with the report of what was seen, by %s',
    async (against) => {
      const child = run(['audit', '--against', against, '--grace', '3s', '--json'])
      await follows[against]()
      await insert('seen by the shadow alone')
      await stage.dataSource.manager.save(Object.assign(new stage.Note(), { name: 'told' }))
      child.kill('SIGTERM')
      const { exitCode, stdout, stderr } = await child
      expect(stderr).toContain('SIGTERM: judging what was seen so far')
      expect(JSON.parse(stdout) as AuditReport).toMatchObject({
        against,
        complete: false,
        changes: 2,
        told: 1,
        missed: 1,
        tables: [{ table: `${stage.space.schema}.notes`, kind: 'insert', capture: 'subscriber' }],
      })
      expect(exitCode).toBe(1)
    },
  )

  test('a table for people, and what to do', async () => {
    const child = run(['audit', '--against', 'trigger', '--for', '2s', '--grace', '2s'])
    await follows.trigger()
    await insert('missed')
    const { exitCode, stdout } = await child
    const { indexPrefix, schema: tables } = stage.space
    expect(stdout).toMatch(new RegExp(`│ ${tables}.notes │ insert │ +1 │ +0 │ +1 │`))
    expect(stdout).toContain(`redstream verify ${indexPrefix}notes --repair\n`)
    expect(exitCode).toBe(1)
  })

  test('without changes it exits with 0', async () => {
    const { exitCode, stdout } = await run(['audit', '--against', 'wal', '--for', '1s', '--grace', '1s'])
    expect(stdout).toContain('none\n\nNothing was changed, so nothing can be said.')
    expect(exitCode).toBe(0)
  })

  test('of one that was killed, what is left takes no more, and goes', async () => {
    const child = run(['audit', '--against', 'trigger'])
    await follows.trigger()
    await expect(run(['audit', '--against', 'wal'])).resolves.toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining(`another redstream audit holds the lock "${schema}"`),
    })
    child.kill('SIGKILL')
    await child
    // Its connection ends, and its lock with it.
    await eventually(async () =>
      expect(
        await count(
          `pg_locks WHERE locktype = 'advisory' AND objid = hashtext('${schema}')::bigint::bit(32)::bigint::oid`,
        ),
      ).toBe(0),
    )
    const before = await count(`${schema}.outbox`)
    await insert('nobody reads this')
    expect(await count(`${schema}.outbox`)).toBe(before)
    expect(await groups()).toContain('redstream-audit')

    const { exitCode, stdout } = await run(['audit', '--clean'])
    expect(stdout).toContain(`removed  schema ${schema}`)
    expect(exitCode).toBe(0)
    expect(await count(`pg_trigger WHERE tgrelid = 'notes'::regclass`)).toBe(0)
    expect(await groups()).not.toContain('redstream-audit')
    expect((await run(['audit', '--clean', '--json'])).stdout).toBe('{\n  "removed": []\n}')
  })

  test('the next one removes what one that was killed has left', async () => {
    const child = run(['audit', '--against', 'wal'])
    await follows.wal()
    child.kill('SIGKILL')
    await child
    const { exitCode, stderr } = await run(['audit', '--against', 'trigger', '--for', '1s', '--grace', '1s'])
    expect(stderr).toContain('removed what an audit that was killed had left behind')
    expect(exitCode).toBe(0)
    expect(await count(`pg_publication WHERE pubname = '${schema}'`)).toBe(0)
    expect(await groups()).not.toContain('redstream-audit')
  })

  test.each([
    [['audit'], 'say which source to compare with'],
    [['audit', '--against', 'outbox'], 'Allowed choices are trigger, wal.'],
    [['audit', '--against', 'wal', '--clean'], 'cannot be used with option'],
    [['audit', '--against', 'wal', '--for', 'long'], 'It takes a duration such as'],
    [['audit', '--against', 'wal', '--capture', 'wal'], 'every index is captured by "wal" already'],
  ])('redstream %j exits with 2', async (args, message) => {
    const { exitCode, stdout, stderr } = await run(args)
    expect(stderr).toContain(message)
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
  })
})

test('what follows from a report', () => {
  const report: AuditReport = {
    against: 'wal',
    from: '2026-01-01T00:00:00.000Z',
    to: '2026-01-01T00:10:00.000Z',
    complete: true,
    changes: 1_000,
    told: 1_000,
    missed: 0,
    waiting: 0,
    unclear: 0,
    resolutionMs: 9,
    tables: [],
    indices: [],
  }
  const line = {
    table: 'cities',
    kind: 'update',
    capture: 'outbox',
    changes: 1_000,
    told: 990,
    missed: 10,
    waiting: 0,
    unclear: 0,
    examples: ['1'],
    firstMissedAt: report.from,
    lastMissedAt: report.to,
  } as const
  expect(conclusions({ ...report, tables: [{ ...line, told: 1_000, missed: 0 }] })[0]).toBe(
    'Nothing was missed in 1,000 changes.',
  )
  const missed = { ...report, told: 990, missed: 10, tables: [line], indices: ['cities', 'shops'] }
  expect(conclusions(missed).slice(0, 4)).toEqual([
    '10 of 1,000 changes were missed.',
    'To see such changes, choose capture "wal" in place of "outbox" (docs/guarantees.md), or make them another way.',
    'Cure what was missed now with: redstream verify cities --repair',
    'Cure what was missed now with: redstream verify shops --repair',
  ])
  expect(conclusions({ ...missed, complete: false, waiting: 3, unclear: 2 }).slice(4)).toEqual([
    '3 changes wait in the delay stream, or for a relay or follower: see redstream status.',
    '2 updates were not told of, and the log does not say whether they have changed a column that matters: audit against "trigger".',
    'Stopped before its time was over.',
    'Changes of one row within 9 ms of each other are not told apart.',
  ])
})
