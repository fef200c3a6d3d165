import path from 'node:path'

import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { formatVerify } from '../../src/cli/verify-table.ts'
import type { VerifyReport } from '../../src/verify/report.ts'
import type { WhyReport } from '../../src/verify/why.ts'
import { pipelined, type Pipelined } from '../support/pipelined.ts'
import { createProject, type Project } from '../support/project.ts'

const program = path.join(import.meta.dirname, '../../bin/redstream.js')

describe('redstream verify, why and init --plan', () => {
  let app: Pipelined
  let project: Project
  beforeAll(async () => {
    app = await pipelined()
    app.start('consumer')
    project = createProject({
      'redstream.ts': `
        import { defineConfig, Indexed } from 'redstream'
        import { Column, DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm'
        @Indexed({ index: '${app.index}', settings: process.env.SETTINGS ? JSON.parse(process.env.SETTINGS) : {} })
        @Entity({ name: 'cities' })
        class City {
          @PrimaryGeneratedColumn({ type: 'integer' }) id!: number
          @Column({ type: 'text' }) name!: string
          @Column({ type: 'integer' }) population!: number
        }
        const url = process.env.DATABASE_URL
        export default defineConfig({
          dataSource: new DataSource({ type: 'postgres', url, schema: '${app.space.schema}', entities: [City] }),
          namespace: '${app.space.namespace}',
        })`,
    })
  })
  afterAll(async () => {
    project.dispose()
    await app.dispose()
  })

  const run = (args: readonly string[], env: Record<string, string> = {}) =>
    execa(process.execPath, [program, ...args, '--config', 'redstream.ts'], {
      cwd: project.directory,
      env,
      reject: false,
      // However long a graceful end takes.
      forceKillAfterDelay: false,
    })

  test('differences, repair, and none', async () => {
    const [rome] = await app.dataSource.manager.save([app.city('Rome'), app.city('Paris')])
    await app.redstream.drained()
    await app.dataSource.query(`UPDATE cities SET name = 'Roma' WHERE id = $1`, [rome!.id])

    const found = await run(['verify', app.index])
    expect(found).toMatchObject({ exitCode: 1, stderr: '' })
    expect(found.stdout).toContain('name: row "Roma", document "Rome"')
    expect(found.stdout).toMatch(/\n1 difference; cure them with: redstream verify \S+ --repair$/)

    const explained = await run(['why', app.index, String(rome!.id)])
    expect(explained).toMatchObject({ exitCode: 0, stderr: '' })
    expect(explained.stdout).toContain(`--repair --ids ${rome!.id}`)
    const facts = await run(['why', app.index, String(rome!.id), '--json'])
    expect(JSON.parse(facts.stdout) as WhyReport).toMatchObject({ row: true, inStep: false })

    const repaired = await run(['verify', app.index, '--repair', '--json'])
    expect(repaired).toMatchObject({ exitCode: 0, stderr: '' })
    const counts = { rows: 2, documents: 2, missing: 0, orphaned: 0 }
    expect(JSON.parse(repaired.stdout) as VerifyReport).toMatchObject({
      name: app.index,
      ...counts,
      stale: 1,
      repaired: 1,
    })
    const clean = await run(['verify', app.index, '--ids', `${rome!.id},${rome!.id + 1}`, '--json'])
    expect(clean.exitCode).toBe(0)
    expect(JSON.parse(clean.stdout) as VerifyReport).toMatchObject({ ...counts, stale: 0, repaired: 0 })
  })

  test('a plan: nothing to do, or something', async () => {
    const nothing = await run(['init', '--plan'])
    expect(nothing).toMatchObject({ exitCode: 0, stderr: '', stdout: expect.stringMatching(/^nothing {4}/) })
    const change = await run(['init', '--plan', '--json'], { SETTINGS: '{"refresh_interval":"7s"}' })
    expect(change).toMatchObject({ exitCode: 1, stderr: '' })
    expect(JSON.parse(change.stdout)).toMatchObject([{ name: app.index, action: 'change' }])
    const reindex = await run(['init', '--plan'], { SETTINGS: '{"number_of_shards":2}' })
    expect(reindex).toMatchObject({
      exitCode: 1,
      stderr: '',
      stdout: expect.stringMatching(/^reindex {4}.* rows, .* MiB\)/),
    })
  })

  test('SIGTERM stops it', async () => {
    // A message that nobody works on holds verify up, since its row is not indexed.
    const [{ id }] = (await app.dataSource.query(
      `INSERT INTO cities (name, population) VALUES ('waiting', 1) RETURNING id`,
    )) as [{ id: number }]
    await app.redstream.producer.delay(app.City, id)
    const child = run(['verify', app.index, '--json', '--patience', '10m', '--log-level', 'debug'])
    await new Promise<void>((resolve) => {
      child.stderr.on('data', (chunk) => String(chunk).includes('waiting until the queue') && resolve())
    })
    child.kill('SIGTERM')
    const { exitCode, stdout } = await child
    expect(exitCode).toBe(1)
    expect(JSON.parse(stdout) as VerifyReport).toMatchObject({ complete: false })
  })

  test.each([
    [['verify'], "missing required argument 'name'"],
    [['verify', 'nowhere'], 'there is no index "nowhere"; the indexed entities have: '],
    [
      ['verify', 'x', '--sample', '5', '--ids', '1'],
      "option '--sample <rows>' cannot be used with option '--ids <keys>'",
    ],
    [['verify', 'x', '--sample', '0'], 'It takes a whole number from 1.'],
    [['verify', 'x', '--since', 'yesterday'], 'It takes a duration such as'],
    [['why', 'x'], "missing required argument 'id'"],
    [['init', '--plan', '--adopt'], "option '--adopt' cannot be used with option '--plan'"],
  ])('redstream %j exits with 2', async (args, message) => {
    const { exitCode, stdout, stderr } = await run(args)
    expect(stderr).toContain(message)
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
  })
})

test('the table names every count and what to do', () => {
  const report: VerifyReport = {
    name: 'cities',
    index: 'cities-20261122031500-1a2b3c4d',
    rows: 171_075,
    documents: 171_074,
    missing: 1,
    stale: 0,
    orphaned: 0,
    unindexable: 1,
    inFlight: 1,
    repaired: 0,
    complete: false,
    examples: [
      { id: '1', kind: 'missing' },
      { id: '2', kind: 'unindexable', reason: 'x'.repeat(100) },
      { id: '3', kind: 'inFlight' },
    ],
  }
  expect(formatVerify(report)).toMatchSnapshot()
})
