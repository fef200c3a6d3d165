import { fileURLToPath } from 'node:url'

import { Client as ElasticsearchClient } from '@elastic/elasticsearch'
import { execa } from 'execa'
import { Redis } from 'ioredis'
import { Client as PostgresClient } from 'pg'
import { expect, test } from 'vitest'

import { removeWorkspace, workspaceFor } from '../../examples/cities/demo/workspace.ts'
import type { Services } from '../../services/services.ts'
import { processTable } from '../../services/processes.ts'

// A busy machine may need several times the usual 15 s.
const timeout = 240_000

const script = fileURLToPath(new URL('../../examples/cities/demo.ts', import.meta.url))
const services: Services = {
  databaseUrl: process.env['DATABASE_URL'] ?? '',
  redisUrl: process.env['REDIS_URL'] ?? '',
  elasticsearchUrl: process.env['ELASTICSEARCH_URL'] ?? '',
  source: { postgres: 'environment', redis: 'environment', elasticsearch: 'environment' },
  stop: () => Promise.resolve(),
}

const demo = (args: readonly string[], env: Record<string, string> = {}) =>
  execa(process.execPath, [script, ...args], {
    reject: false,
    env,
    stdin: 'ignore',
    forceKillAfterDelay: false,
  })

/** Resolves with everything that was printed when it holds `pattern`. */
function printed(run: ReturnType<typeof demo>, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    run.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (pattern.test(text)) resolve(text)
    })
    run.stdout.once('end', () => reject(new Error(`the demo ended without ${String(pattern)}:\n${text}`)))
  })
}

/** The part of the run's names that no other run has. */
function suffixOf(output: string): string {
  return /schema redstream_demo_(\w+)/.exec(output)?.[1] ?? 'none'
}

function workerPids(output: string): number[] {
  return [...output.matchAll(/^ +(\d+) +redstream (?:consumer|delayer|trimmer)/gm)].map(([, pid]) =>
    Number(pid),
  )
}

function running(pids: readonly number[]): number[] {
  return processTable()
    .map(({ pid }) => pid)
    .filter((pid) => pids.includes(pid))
}

/** What a run has left on the three servers. */
async function leftBehind(suffix: string): Promise<string[]> {
  const { schema, namespace, index } = workspaceFor(services, suffix)
  const postgres = new PostgresClient({ connectionString: services.databaseUrl })
  const redis = new Redis(services.redisUrl)
  const elasticsearch = new ElasticsearchClient({ node: services.elasticsearchUrl })
  await postgres.connect()
  try {
    const sql = 'SELECT nspname FROM pg_namespace WHERE nspname = $1'
    const { rows } = await postgres.query<{ nspname: string }>(sql, [schema])
    const indices = await elasticsearch.indices.get({ index: `${index}*` })
    return [
      ...rows.map(({ nspname }) => nspname),
      ...(await redis.keys(`${namespace}*`)),
      ...Object.keys(indices),
    ]
  } finally {
    await postgres.end()
    redis.disconnect()
    await elasticsearch.close()
  }
}

test(
  'it ends with the same rows and documents, stays with --keep, and leaves nothing behind',
  { timeout },
  async () => {
    const kept = demo(['--cities', '1500', '--keep'])
    const output = await printed(kept, /differences\n$/)
    expect(output).toMatch(/\n1,495 rows, 1,495 documents, 0 differences\n$/)
    expect(output).toContain('GeoNames')
    expect(output).toContain('CC BY 4.0')
    expect(output).toMatch(/document: ".+", which is stale/)
    expect(output).toMatch(/document: ".+ after the crash", healed/)
    expect(output).toContain(`\nELASTICSEARCH_URL=${services.elasticsearchUrl}\n`)
    expect(output).not.toContain('\u001B')
    const pids = workerPids(output)
    expect(pids).toHaveLength(4)
    expect(running(pids)).toHaveLength(4)
    expect(await leftBehind(suffixOf(output))).not.toEqual([])

    kept.kill('SIGINT')
    const { exitCode, stderr } = await kept
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: 'demo: cleaning up' })
    expect(running(pids)).toEqual([])
    expect(await leftBehind(suffixOf(output))).toEqual([])
  },
)

test('however it ends in the middle, no worker stays, and what it can it removes', { timeout }, async () => {
  const runs = [1, 2, 3].map(() => demo(['--cities', '20000']))
  const outputs = await Promise.all(runs.map((run) => printed(run, /\n4\. Load\n/)))
  const pids = outputs.map(workerPids)
  expect(pids.map(({ length }) => length)).toEqual([4, 4, 4])

  // The demo is interrupted, one of its workers is killed, the demo is killed.
  runs[0]!.kill('SIGTERM')
  process.kill(pids[1]![0]!, 'SIGKILL')
  runs[2]!.kill('SIGKILL')
  const [interrupted, workerKilled] = await Promise.all(runs)

  expect(interrupted).toMatchObject({ exitCode: 143, stderr: 'demo: interrupted, cleaning up' })
  expect(workerKilled).toMatchObject({ exitCode: 1 })
  expect(workerKilled!.stderr).toMatch(
    /^demo: step 4 \(Load\) failed: `redstream consumer` ended with SIGKILL/,
  )
  await expect.poll(() => running(pids.flat()), { timeout: 20_000 }).toEqual([])
  const suffixes = outputs.map(suffixOf)
  expect(await leftBehind(suffixes[0]!)).toEqual([])
  expect(await leftBehind(suffixes[1]!)).toEqual([])
  await removeWorkspace(services, workspaceFor(services, suffixes[2]!))
  expect(await leftBehind(suffixes[2]!)).toEqual([])
})

test('a server that does not answer is one clear message without a secret, and exit code 1', async () => {
  const { exitCode, stderr } = await demo([], { DATABASE_URL: 'postgres://me:secret@127.0.0.1:1/none' })
  expect(exitCode).toBe(1)
  expect(stderr).toMatch(
    /^demo: step 1 \(Servers\) failed: DATABASE_URL is set, but PostgreSQL does not answer/,
  )
  expect(stderr).not.toContain('secret')
  expect(stderr.split('\n')).toHaveLength(1)
})

test('wrong usage is exit code 2, help is exit code 0', async () => {
  const wrong = await demo(['--citys', '1000'])
  expect(wrong.exitCode).toBe(2)
  expect(wrong.stderr).toMatch(/^demo: unknown option '--citys'\n\(Did you mean --cities\?\)$/)
  expect((await demo(['--cities', '7'])).stderr).toContain('whole number from 100')
  const help = await demo(['--help'])
  expect(help.exitCode).toBe(0)
  expect(help.stdout).toContain('--keep')
})
