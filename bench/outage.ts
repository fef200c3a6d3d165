/**
 * Servers that are away while two applications write at a steady rate: Elasticsearch, then Redis for a sixth of the
 * time, then PostgreSQL is restarted. Measures what the applications notice and how long it takes until all is indexed.
 * One `redstream run` lives through all of it.
 *
 * Run: npm run bench:outage [-- --seconds 60 --rate 200]   (a Redis and a PostgreSQL of its own; Elasticsearch from the
 * environment, or embedded)
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import { startPostgres, startRedis } from '../services/services.ts'
import { Redstream, type AttachOptions } from '../src/redstream.ts'
import { cityDatabase, documentOf, type CityRow } from '../test/fixtures/process/city.ts'
import { SteadyWrites } from '../test/fixtures/process/steady-writes.ts'
import { TcpProxy } from '../test/support/tcp-proxy.ts'
import { median, openStage, report, round, tell, until, type Stage } from './stage.ts'

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, rate: { type: 'string', default: '200' } },
})
const seconds = Number(values.seconds)
const rate = Number(values.rate)
const rowsEach = 2_000
const patienceMs = 10 * 60_000

const closers: (() => Promise<unknown>)[] = []
try {
  report(await measure())
} finally {
  for (const closer of closers.toReversed()) await closer()
}

async function measure(): Promise<Record<string, unknown>> {
  const [redis, postgres] = await Promise.all([
    startRedis({ appendOnly: true, progress: tell }),
    startPostgres({ fsync: true }),
  ])
  closers.push(
    () => redis.stop(),
    () => postgres.stop(),
  )
  process.env['REDIS_URL'] = redis.url
  process.env['DATABASE_URL'] = postgres.url
  const stage = await openStage()
  closers.push(() => stage.close())
  const proxy = await TcpProxy.to(stage.elasticsearchUrl)
  closers.push(() => proxy.close())
  const run = await stage.start('run --delay 5s', { ELASTICSEARCH_URL: `http://127.0.0.1:${proxy.port}` })

  const reject = await application(stage, 'reject', 1)
  const accept = await application(stage, 'accept', 100_001)
  const during = async (what: string, away: () => Promise<unknown>): Promise<Record<string, unknown>> => {
    tell(what)
    const before = [reject, accept].map(({ writes }) => countsOf(writes))
    const began = performance.now()
    await away()
    const awaySeconds = (performance.now() - began) / 1_000
    const { lagMs, undelivered, pending } = await untilRedisAnswers(stage)
    const back = performance.now()
    await until(async () => (await mainLane(stage)).lagMs < 1_000, patienceMs, `${what}: no catching up`, 20)
    const caughtUp = (performance.now() - back) / 1_000
    const [rejecting, accepting] = [reject, accept].map(({ writes }, i) => differenceOf(before[i]!, writes))
    const backlog = { lagSeconds: round(lagMs / 1_000), entries: undelivered + pending }
    return {
      awaySeconds: round(awaySeconds),
      whenItIsBack: backlog,
      secondsToCatchUp: round(caughtUp, 2),
      writesWithReject: rejecting,
      writesWithAccept: accepting,
    }
  }

  const calm = await during('all servers there', () => sleep(5_000))
  const elasticsearch = await during('Elasticsearch away', async () => {
    await proxy.refuse()
    await sleep(seconds * 1_000)
    await proxy.accept()
  })
  const redisAway = await during('Redis away', async () => {
    await redis.kill()
    await sleep((seconds / 6) * 1_000)
    await redis.restart()
  })
  const postgresRestarted = await during('PostgreSQL restarted', () => postgres.restart())

  await Promise.all([reject, accept].map(({ writes }) => writes.stop()))
  await until(() => drained(stage), patienceMs, 'not drained', 50)
  const differing = await differences(stage)
  await accept.redstream.touch(
    accept.City,
    Array.from({ length: rowsEach }, (_, i) => 100_001 + i),
  )
  await until(() => drained(stage), patienceMs, 'not drained', 50)
  const restarts = run.alive ? 0 : 1
  run.stop()
  await run.exit
  return {
    rate,
    calm,
    elasticsearch,
    redis: redisAway,
    postgres: postgresRestarted,
    rows: await stage.dataSource.manager.count(stage.City),
    differences: {
      rejecting: differing.filter((id) => id <= 100_000).length,
      acceptingBeforeTouch: differing.filter((id) => id > 100_000).length,
      atLast: (await differences(stage)).length,
    },
    workerRestarts: restarts,
  }
}

interface Application {
  readonly City: new () => CityRow
  readonly redstream: Redstream
  readonly writes: SteadyWrites
}

async function application(
  { databaseUrl, redisUrl, space }: Stage,
  onUnavailable: NonNullable<AttachOptions['onUnavailable']>,
  firstId: number,
): Promise<Application> {
  const { dataSource, City } = cityDatabase({ databaseUrl, space, partitions: 1 })
  await dataSource.initialize()
  // What it warns of is counted by its outcomes here.
  const logger = { debug: silent, info: silent, warn: silent, error: silent }
  const redstream = await Redstream.attach(dataSource, {
    redis: redisUrl,
    namespace: space,
    onUnavailable,
    logger,
  })
  const writes = new SteadyWrites(dataSource, City, { firstId, rows: rowsEach, rate: rate / 2 })
  closers.push(async () => {
    await writes.stop()
    await redstream.close()
    await dataSource.destroy()
  })
  return { City, redstream, writes }
}

function silent(): void {}

interface Counts {
  readonly done: number
  readonly failed: ReadonlyMap<string, number>
}

function countsOf({ done, failed }: SteadyWrites): Counts {
  return { done, failed: new Map(failed) }
}

/** What has happened since then, and how long the saves took. */
function differenceOf(before: Counts, { done, failed, times }: SteadyWrites): Record<string, unknown> {
  const refused = [...failed].map(([code, count]) => [code, count - (before.failed.get(code) ?? 0)] as const)
  const recent = times.slice(before.done)
  return {
    done: done - before.done,
    failed: Object.fromEntries(refused.filter(([, count]) => count > 0)),
    medianMs: round(median(recent)),
    maxMs: Math.round(recent.reduce((a, b) => Math.max(a, b), 0)),
  }
}

async function mainLane({ pipeline }: Stage) {
  const { streams } = await pipeline.status()
  return streams[0]!.main
}

/** The first status after an outage: how far behind the index is. */
async function untilRedisAnswers(stage: Stage): ReturnType<typeof mainLane> {
  let lane: Awaited<ReturnType<typeof mainLane>> | undefined
  const ask = async (): Promise<boolean> => {
    lane = await mainLane(stage).catch(() => undefined)
    return lane !== undefined
  }
  await until(ask, 60_000, 'Redis does not answer')
  return lane!
}

async function drained({ pipeline }: Stage): Promise<boolean> {
  const { streams } = await pipeline.status()
  return streams.every(
    ({ main, bulk, delay }) =>
      main.undelivered + main.pending + bulk.undelivered + bulk.pending + delay.length === 0,
  )
}

/** Ids whose document is not that of their row. */
async function differences({ elasticsearch, index, dataSource, City }: Stage): Promise<number[]> {
  await elasticsearch.indices.refresh({ index })
  const { hits } = await elasticsearch.search({ index, size: 10_000 })
  const documents = new Map(hits.hits.map(({ _id, _source }) => [Number(_id), JSON.stringify(_source)]))
  const rows = await dataSource.manager.find(City)
  const wrong = rows.filter((row) => documents.get(row.id) !== JSON.stringify(documentOf(row)))
  const known = new Set(rows.map(({ id }) => id))
  return [...wrong.map(({ id }) => id), ...[...documents.keys()].filter((id) => !known.has(id))]
}
