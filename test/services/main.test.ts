import { afterEach, expect, test } from 'vitest'

import { probeElasticsearch, probePostgres, probeRedis } from '../../services/probes.ts'
import { processTable, signalProcess } from '../../services/processes.ts'
import { expectNothingLeft, root, startMain, type ServicesProcess } from './services-process.ts'

const started: ServicesProcess[] = []

function start(...args: Parameters<typeof startMain>): ServicesProcess {
  const services = startMain(...args)
  started.push(services)
  return services
}

afterEach(async () => {
  for (const services of started.splice(0)) {
    services.child.kill('SIGKILL')
    await services.exit
    await services.cleanUp()
  }
})

async function ready(services: ServicesProcess): Promise<void> {
  await expect.poll(services.stdout, { timeout: 240_000 }).toContain('ready\n')
}

/** The other two are attached to: Redis is the quickest to start. */
const onlyRedis = { REDIS_URL: undefined }
const all = { DATABASE_URL: undefined, REDIS_URL: undefined, ELASTICSEARCH_URL: undefined }

test(
  'prints three addresses that answer; a SIGKILL leaves no process and no data',
  { timeout: 300_000 },
  async () => {
    const services = start([], all)
    await ready(services)
    const lines = services.stdout().trimEnd().split('\n')
    const names = ['DATABASE_URL', 'REDIS_URL', 'ELASTICSEARCH_URL']
    expect(lines.map((line) => line.split('=')[0])).toEqual([...names, 'ready'])
    const [database = '', redis = '', elasticsearch = ''] = lines.map((line) =>
      line.slice(line.indexOf('=') + 1),
    )
    await Promise.all([probePostgres(database), probeRedis(redis), probeElasticsearch(elasticsearch)])
    const pids = services.pids()
    expect(services.dataFolders()).toHaveLength(3)

    services.child.kill('SIGKILL')

    await expectNothingLeft(services, pids)
  },
)

test('a SIGKILL while the servers are starting leaves no process and no data', async () => {
  const services = start([], all)
  await expect.poll(services.dataFolders, { timeout: 30_000 }).toHaveLength(3)
  const pids = services.pids()
  services.child.kill('SIGKILL')
  await expectNothingLeft(services, pids)
  expect(services.stdout()).toBe('')
})

test.each(['SIGINT', 'SIGTERM'] as const)(
  '%s, even twice, stops the servers with exit code 0',
  async (signal) => {
    const services = start([], onlyRedis)
    await ready(services)
    const pids = services.pids()
    services.child.kill(signal)
    services.child.kill(signal)
    expect(await services.exit).toBe(0)
    await expectNothingLeft(services, pids)
  },
)

test('stops when its parent is gone, and stays with --stay', async () => {
  const shell = ['sh', '-c', `${process.execPath} services/main.ts "$@" & wait`, 'sh']
  const [going, staying] = [start([], onlyRedis, shell), start(['--stay'], onlyRedis, shell)]
  await Promise.all([ready(going), ready(staying)])
  const [goingPids, stayingPids] = [going.pids(), staying.pids()]
  for (const services of [going, staying]) services.child.kill('SIGKILL')
  await expectNothingLeft(going, goingPids)
  // Both have had the same time to notice.
  expect(processTable().filter((entry) => stayingPids.includes(entry.pid))).toHaveLength(
    stayingPids.length - 1,
  )
  for (const pid of stayingPids) signalProcess(pid, 'SIGTERM')
  await expectNothingLeft(staying, stayingPids)
})

test('two at once have servers of their own; --json prints one document', async () => {
  const both = [start(['--json'], onlyRedis), start(['--json'], onlyRedis)]
  for (const services of both) await expect.poll(services.stdout, { timeout: 30_000 }).toContain('\n')
  const [one, other] = both.map((services) => JSON.parse(services.stdout()) as Record<string, unknown>)
  expect(one?.['redisUrl']).not.toBe(other?.['redisUrl'])
  expect(one).toMatchObject({
    databaseUrl: process.env['DATABASE_URL'],
    elasticsearchUrl: process.env['ELASTICSEARCH_URL'],
    source: { postgres: 'environment', redis: 'embedded', elasticsearch: 'environment' },
  })
})

test('an address of the environment that does not answer is one clear message without its password', async () => {
  const services = start([], { DATABASE_URL: 'postgres://app:hunter2@127.0.0.1:1/app' })
  expect(await services.exit).toBe(1)
  expect(services.stdout()).toBe('')
  expect(services.stderr().trim().split('\n').at(-1)).toBe(
    'DATABASE_URL is set, but PostgreSQL does not answer there: connect ECONNREFUSED 127.0.0.1:1. ' +
      'Start it, or unset DATABASE_URL to have one started.',
  )
})

test('--help tells what it does', async () => {
  const services = start(['--help'], {})
  expect(await services.exit).toBe(0)
  expect(services.stdout()).toContain('--stay')
})

test('node scripts/run.mjs passes signals and exit codes on, and takes the servers with it', async () => {
  const command = [process.execPath, `${root}scripts/run.mjs`, 'services']
  const [interrupted, killed] = [start([], onlyRedis, command), start([], onlyRedis, command)]
  await Promise.all([ready(interrupted), ready(killed)])
  const [interruptedPids, killedPids] = [interrupted.pids(), killed.pids()]
  interrupted.child.kill('SIGTERM')
  killed.child.kill('SIGKILL')
  expect(await interrupted.exit).toBe(0)
  await expectNothingLeft(interrupted, interruptedPids)
  await expectNothingLeft(killed, killedPids)
})
