import { afterAll, beforeAll, expect, test } from 'vitest'

import { startRedis, type ServerHandle } from '../../services/services.ts'
import { metrics as table } from '../../src/runtime/metrics-table.ts'
import type { Problem } from '../../src/runtime/health.ts'
import type { Status } from '../../src/sync/pipeline.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { endpointsOf, workerOf, type Endpoints } from './support/endpoints.ts'
import type { Program } from './support/program.ts'
import { World } from './support/world.ts'

let world: World
let run: Program
let endpoints: Endpoints
let redis: ServerHandle
let elasticsearch: TcpProxy

const stallAfterMs = 4_000
const flags = `--stall-after ${stallAfterMs}ms --request-timeout 1s --redis-timeout 1s`

beforeAll(async () => {
  redis = await startRedis({ appendOnly: true })
  // A space takes the addresses from the environment, which is that of this file alone.
  process.env['REDIS_URL'] = redis.url
  elasticsearch = await TcpProxy.to(process.env['ELASTICSEARCH_URL'] ?? '')
  world = await World.open()
  run = await world.start(`run --http 0 --trim-interval 50ms ${flags}`, proxied())
  endpoints = await endpointsOf(run)
})
afterAll(async () => {
  try {
    await world?.dispose()
  } finally {
    await Promise.all([elasticsearch?.close(), redis?.stop()])
  }
})

const proxied = (): Record<string, string> => ({
  ELASTICSEARCH_URL: `http://127.0.0.1:${elasticsearch.port}`,
})

/** Runs a command that prints JSON. */
async function json(command: string): Promise<{ code: number | undefined; printed: unknown }> {
  const program = world.launch(`${command} --json`, proxied())
  const { code } = await program.exit
  return { code, printed: JSON.parse(program.output.join('\n')) }
}

test('a scrape names exactly the metrics of the table, and counts what was done', async () => {
  await world.saveCities(20, 'counted')
  await world.caughtUp()
  await run.until(
    async () => /^redstream_entries_trimmed_total\{.*\} 20$/m.test(await endpoints.metrics()),
    'trims nothing',
  )
  const text = await endpoints.metrics()
  const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => `${name} ${type}`)
  expect(types.toSorted()).toEqual(
    Object.values(table)
      .map(({ name, type }) => `${name} ${type}`)
      .toSorted(),
  )
  const stream = `stream="${world.index}"`
  expect(text).toContain(`redstream_documents_total{${stream},outcome="applied"} 20\n`)
  expect(text).toContain(`redstream_entries_delivered_total{${stream},group="index",lane="main"} 20\n`)
  expect(text).toContain(`redstream_entries_acknowledged_total{${stream},group="index",lane="main"} 20\n`)
  for (const stage of ['ticket', 'load', 'build', 'index', 'settle'])
    expect(text).toMatch(new RegExp(`^redstream_batch_stage_seconds_count.*stage="${stage}"} [1-9]`, 'm'))
  expect(text).toContain('redstream_workers{kind="consumer"} 1\n')
})

test('live and ready, and `redstream health` agrees', async () => {
  expect(await endpoints.live()).toMatchObject({ status: 200, ok: true, reasons: [] })
  const ready = await endpoints.ready()
  expect(ready).toMatchObject({ status: 200, ok: true, reasons: [] })
  // One of them helps with a reindex.
  expect(ready.workers.map(({ kind }) => kind)).toEqual(['consumer', 'consumer', 'delayer', 'trimmer'])
  expect(await json('health')).toEqual({ code: 0, printed: { healthy: true, problems: [] } })
})

test('a taken port ends the second process with 1', async () => {
  const second = world.launch(`trimmer --http ${new URL(endpoints.url).port}`)
  expect(await second.exit).toEqual({ code: 1, signal: undefined })
})

test('Elasticsearch away for longer than stallAfter: live and ready, and it says what it waits for', async () => {
  await elasticsearch.refuse()
  await world.saveCities(5, 'while Elasticsearch is away')
  await run.until(
    async () => workerOf(await endpoints.live(), 'consumer').progressMs > stallAfterMs + 1_000,
    'makes progress',
  )
  const live = await endpoints.live()
  expect(live).toMatchObject({ status: 200 })
  expect(workerOf(live, 'consumer').waitsFor).toEqual(['Elasticsearch'])
  expect(workerOf(live, 'trimmer')).toMatchObject({ waitsFor: [] })
  expect(await endpoints.ready()).toMatchObject({ status: 200, reasons: [] })

  // Looking at the streams needs no Elasticsearch.
  const { workers } = (await json('status')).printed as Status
  const consumer = workers.find(({ kind }) => kind === 'consumer')!
  expect(consumer.progressMs).toBeGreaterThan(stallAfterMs)
  expect(consumer.seenMs).toBeLessThan(consumer.progressMs)
  const { code, printed } = await json('health --max-lag 1s --stall-after 1s')
  expect(code).toBe(1)
  expect(printed).toMatchObject({
    healthy: false,
    problems: [
      { problem: 'lag', stream: world.index },
      { problem: 'no-progress', kind: 'consumer' },
    ],
  })

  await elasticsearch.accept()
  await world.caughtUp()
  await world.expectInSync()
  await run.until(async () => workerOf(await endpoints.live(), 'consumer').waitsFor.length === 0, 'waits')
  expect(await endpoints.metrics()).toMatch(/^redstream_failures_total\{.*step="index"\} [1-9]/m)
})

test('Redis away for longer than stallAfter: live, not ready, and ready again', async () => {
  await redis.kill()
  await run.until(async () => (await endpoints.ready()).status === 503, 'is ready')
  expect((await endpoints.ready()).reasons).toEqual([expect.stringMatching(/^Redis at 127\.0\.0\.1:\d+ /)])
  await run.until(async () => {
    const live = await endpoints.live()
    expect(live).toMatchObject({ status: 200, reasons: [] })
    return live.workers.every(({ progressMs }) => progressMs > stallAfterMs + 1_000)
  }, 'makes progress')
  const live = await endpoints.live()
  expect(live.workers.map(({ waitsFor }) => waitsFor)).toEqual(live.workers.map(() => ['Redis']))
  const text = await endpoints.metrics()
  expect(text).toContain('redstream_redis_up 0\n')
  expect(text).not.toContain('redstream_stream_lag_seconds{')

  await redis.restart()
  await run.until(async () => (await endpoints.ready()).status === 200, 'is not ready')
  // Refused until the writer has a connection again, too.
  await run.until(async () => {
    try {
      await world.saveCities(5, 'after Redis came back')
      return true
    } catch (error) {
      expect(error).toMatchObject({ code: 'REDIS_UNAVAILABLE' })
      return false
    }
  }, 'lets the writer save')
  await world.caughtUp()
  await world.expectInSync()
})

test('a Consumer that hangs is not live, and live again when it goes on', async () => {
  const gate = world.gate()
  run.signal('SIGTERM')
  expect(await run.exit).toEqual({ code: 0, signal: undefined })
  await expect(endpoints.live()).rejects.toThrow()

  const hanging = await world.start(`consumer --http 0 --concurrency 2 ${flags}`, gate.env)
  const its = await endpointsOf(hanging)
  await world.saveCities(5, 'read by one that hangs')
  await gate.reached()
  await hanging.until(async () => (await its.live()).status === 503, 'is live')
  expect((await its.live()).reasons).toEqual([
    expect.stringMatching(
      /^the consumer index of .*, partition 0 hangs: it has been at the step "load" for \d+ s$/,
    ),
  ])
  expect(await its.ready()).toMatchObject({ status: 200 })
  // Its heart beats on, so that nobody takes its entries; that it gets nothing done shows all the same.
  const { code, printed } = await json('health --stall-after 1s')
  expect(code).toBe(1)
  const { problems } = printed as { problems: Problem[] }
  expect(problems).toContainEqual(expect.objectContaining({ problem: 'no-progress', kind: 'consumer' }))
  expect(problems).toContainEqual(expect.objectContaining({ problem: 'no-worker', kind: 'trimmer' }))

  await gate.open()
  await hanging.until(async () => (await its.live()).status === 200, 'still hangs')
  await world.caughtUp()
  await world.expectInSync()
})
