/**
 * What a reindex does to those who live with it. All rows are reindexed to a changed mapping while rows are changed,
 * added and removed (200 writes a second), a client searches 20 times a second, and two worker processes are killed
 * with SIGKILL while they copy; right after the swap, the new index is verified while the writes go on.
 *
 * Told are the rows a second of it, and of the reindex by one process alone that fills the old index, against raw bulk
 * requests of the same documents in the same run, the lag of live changes before, during and after, what the searches
 * came to, and what verify found. Exit code 1 when a search failed or found nothing, when a document differs from its
 * row, or when the run was not what it shall be (see reindex/report.ts).
 *
 * Run: npm run bench:reindex [-- --rows N --writes N --workers N]
 * Without --rows: the 171,075 cities of the demo. --workers: slices that the command copies at once, beside two worker
 * processes. DATABASE_URL, REDIS_URL and ELASTICSEARCH_URL, or embedded servers.
 */
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'

import { Client } from '@elastic/elasticsearch'
import { Redis } from 'ioredis'

import { startServices } from '../services/services.ts'
import { countDocuments } from '../src/indexing/copy-index.ts'
import { Redstream } from '../src/redstream.ts'
import { isOver } from '../src/reindex/phases.ts'
import type { ReindexState } from '../src/reindex/state.ts'
import { pause } from '../src/runtime/backoff.ts'
import type { VerifyReport } from '../src/verify/report.ts'
import { Crew } from './reindex/crew.ts'
import { lagWhile, write } from './reindex/live.ts'
import { City, cityDatabase, index, namespace, pipelineOf, table, type Place } from './reindex/place.ts'
import { rawBulk } from './reindex/raw-bulk.ts'
import { problemsOf, type Run } from './reindex/report.ts'
import { citiesOf, insertUnseen, isResting } from './reindex/rows.ts'
import { search } from './reindex/search.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string' },
    writes: { type: 'string', default: '200' },
    workers: { type: 'string', default: '4' },
  },
})
const hands = Number(values.workers)
const wanted = { writesPerSecond: Number(values.writes), kills: 2 }
const searchesPerSecond = 20
const quietMs = 10_000

const services = await startServices({ progress: note })
const { databaseUrl, redisUrl, elasticsearchUrl } = services
const place: Place = { databaseUrl, redisUrl, elasticsearchUrl }
const dataSource = await cityDatabase(place).initialize()
await dataSource.query(`DROP TABLE IF EXISTS ${table}`)
await dataSource.synchronize()
const client = new Client({ node: elasticsearchUrl })
await cleanUp()
const pipeline = await pipelineOf(dataSource, place)
const crew = new Crew(place)

try {
  const cities = await citiesOf(values.rows === undefined ? undefined : Number(values.rows))
  await insertUnseen(dataSource, cities)
  await pipeline.init()
  note(`${cities.length} rows; the old index is filled`)
  const never = new AbortController().signal
  const isDone = ({ phase }: ReindexState): boolean => isOver(phase)
  const filled = await pipeline.reindexer(index).start({ keepOldMs: 0 }, { hands }, never, isDone)
  note('raw bulk requests of the same documents')
  const raw = await rawBulk(pipeline.site(index), cities, hands)
  const run = await reindexLive(cities)
  const problems = problemsOf(run, wanted)
  process.stdout.write(
    `${JSON.stringify({ ...figuresOf(filled, run, cities.length, raw), problems }, undefined, 2)}\n`,
  )
  if (problems.length > 0) process.exitCode = 1
} finally {
  await crew.stop()
  await pipeline.close()
  await cleanUp()
  await client.close()
  await dataSource.query(`DROP TABLE IF EXISTS ${table}`)
  await dataSource.destroy()
  await services.stop()
}

/** The reindex and all that goes on beside it. */
async function reindexLive(cities: readonly City[]): Promise<Run> {
  const redstream = await Redstream.attach(dataSource, { redis: redisUrl, namespace })
  await Promise.all([crew.addWorker(), crew.addWorker()])
  const over = new AbortController()
  const resting = cities.filter(({ id }) => isResting(id))
  const beside = Promise.all([
    write(dataSource, cities.length, wanted.writesPerSecond, over.signal),
    search(client, resting, searchesPerSecond, over.signal),
    crew.killWorkers(wanted.kills, pipeline, over.signal),
  ])
  // What fails there is told at the end.
  beside.catch(() => undefined)
  try {
    note('live changes and searches before the reindex')
    const before = await lagWhile(pipeline, pause(quietMs))
    note('the reindex')
    const command = crew.run<ReindexState>('reindex', values.workers)
    const during = await lagWhile(pipeline, command)
    const state = await command
    note('verify')
    const begin = performance.now()
    const verification = crew.run<VerifyReport>('verify')
    const verifying = await lagWhile(pipeline, verification)
    const verify = { ...(await verification), seconds: (performance.now() - begin) / 1_000 }
    note('live changes and searches after it')
    const after = await lagWhile(pipeline, pause(quietMs))
    over.abort()
    const [writes, searches, kills] = await beside
    await redstream.drained({ timeout: 60_000 })
    await client.indices.refresh({ index })
    return {
      state,
      kills,
      lostWorkers: crew.lost,
      writes,
      searches,
      verify,
      lagMs: { before, during, verifying, after },
      rowsAtTheEnd: await dataSource.manager.count(City),
      documentsAtTheEnd: await countDocuments(client, state.to),
    }
  } finally {
    over.abort()
    await Promise.allSettled([beside])
    await redstream.close()
  }
}

/** @param filled - of the old index: by this process, which has just begun, with nothing beside it */
function figuresOf(
  filled: ReindexState,
  { state, ...seen }: Run,
  rows: number,
  raw: number,
): Record<string, unknown> {
  return {
    cores: cpus().length,
    rows,
    alone: rateOf(filled, rows, raw),
    reindex: rateOf(state, rows, raw),
    rawBulkDocsPerSecond: raw,
    ...seen,
  }
}

function rateOf(state: ReindexState, rows: number, raw: number): Record<string, number> {
  const { copyingAt = 0, swappedAt = 0, startedAt } = state
  const seconds = (swappedAt - copyingAt) / 1_000
  const rowsPerSecond = Math.round(rows / seconds)
  const ratio = Math.round((rowsPerSecond / raw) * 100) / 100
  return { rowsPerSecond, ratio, seconds, wholeSeconds: (swappedAt - startedAt) / 1_000 }
}

async function cleanUp(): Promise<void> {
  const redis = new Redis(redisUrl)
  const keys = await redis.keys(`${namespace}:*`)
  if (keys.length > 0) await redis.del(keys)
  redis.disconnect()
  const found = Object.keys(await client.indices.get({ index: `${index}*`, expand_wildcards: 'all' }))
  if (found.length > 0) await client.indices.delete({ index: found })
}

function note(line: string): void {
  process.stderr.write(`${line}\n`)
}
