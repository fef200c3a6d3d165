import { afterAll, beforeAll, expect, test } from 'vitest'

import { startPostgres, startRedis, type ServerHandle } from '../../services/services.ts'
import { settingsFrom } from '../../src/runtime/settings.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import { LogPart } from '../../src/wal/log-part.ts'
import { lookAtSlot } from '../../src/wal/slot.ts'
import { recordingLogger } from '../support/captured.ts'
import { waitUntil, type Program } from './support/program.ts'
import { World } from './support/world.ts'

let world: World
let pipeline: Pipeline
let postgres: ServerHandle
let redis: ServerHandle
let running: Program

/** Rows of one transaction, which the server streams in many blocks. */
const many = 30_000

beforeAll(async () => {
  const settings = { logical_decoding_work_mem: '64kB', wal_sender_timeout: '3s' }
  ;[postgres, redis] = await Promise.all([
    startPostgres({ fsync: true, settings }),
    startRedis({ appendOnly: true }),
  ])
  // A space takes the addresses from the environment, which is that of this file alone.
  process.env['DATABASE_URL'] = postgres.url
  process.env['REDIS_URL'] = redis.url
  world = await World.open()
  const { redisUrl, elasticsearchUrl, namespace } = world.space
  pipeline = await openPipeline(
    {
      dataSource: world.dataSource,
      redis: redisUrl,
      elasticsearch: elasticsearchUrl,
      settings: settingsFrom({ namespace, capture: 'wal', captureSchema: namespace }),
    },
    recordingLogger([]),
  )
  await new LogPart(pipeline.log!).apply()
  running = await follower()
})
afterAll(async () => {
  try {
    await pipeline?.close()
    await world?.dispose()
  } finally {
    await Promise.all([postgres?.stop(), redis?.stop()])
  }
})

const follower = (): Promise<Program> =>
  world.start('follower --request-timeout 1s', {
    REDSTREAM_CAPTURE: 'wal',
    REDSTREAM_CAPTURE_SCHEMA: world.space.namespace,
  })

const slot = async () => (await lookAtSlot(world.dataSource, pipeline.log!.names.slot)).slot

/** One statement is one transaction, streamed while it is written. */
const write = (first: number, count = many): Promise<unknown> =>
  world.dataSource.query(
    `INSERT INTO "${world.space.schema}".cities SELECT n, 'raw', 1 FROM generate_series($1::int, $2::int) n`,
    [first, first + count - 1],
  )

async function told(): Promise<Set<string>> {
  const [main, bulk] = await Promise.all([world.ids('main'), world.ids('bulk')])
  return new Set([...main, ...bulk])
}

async function allAreTold(first: number, count = many): Promise<void> {
  await running.until(async () => {
    const ids = await told()
    for (let id = first; id < first + count; id++) if (!ids.has(String(id))) return false
    return true
  }, 'has not told of every row')
}

/** The blocks of a transaction are on their way, or its messages. */
async function isStreaming(): Promise<void> {
  const [{ blocks: before }] = await streamed()
  await waitUntil(
    async () => (await streamed())[0].blocks > before,
    () => 'the server streams nothing',
  )
}

function streamed(): Promise<[{ blocks: number }]> {
  return world.dataSource.query(
    'SELECT stream_count::int AS blocks FROM pg_stat_replication_slots WHERE slot_name = $1',
    [pipeline.log!.names.slot],
  )
}

test('killed in the midst of a transaction that is streamed, the next one tells all of it', async () => {
  const written = write(1)
  await isStreaming()
  await running.kill()
  running = await follower()
  await written
  await allAreTold(1)
})

test('paused in the midst of one, another takes over, and it wakes up again', async () => {
  const paused = running
  const written = write(100_001)
  await isStreaming()
  paused.signal('SIGSTOP')
  running = await follower()
  await written
  await allAreTold(100_001)
  paused.signal('SIGCONT')
  await paused.logged('standing by')
  await paused.kill()
})

test('the database is killed in the midst of one that does not commit: nothing of it is told, and what comes later is', async () => {
  const written = write(200_001).catch(() => 'lost')
  await isStreaming()
  await postgres.kill()
  const result = await written
  await postgres.restart()
  await waitUntil(
    async () => (await slot().catch(() => undefined))?.reader !== undefined,
    () => 'nobody reads',
  )
  await write(300_001, 10)
  await allAreTold(300_001, 10)
  if (result === 'lost') expect((await told()).has('200001')).toBe(false)
  expect(running.hasEnded).toBe(false)
})

test('Redis is killed in the midst of publishing one, and silent for the next', async () => {
  const before = (await told()).size
  await write(400_001)
  await running.until(async () => (await told()).size > before, 'publishes nothing')
  await redis.kill()
  await redis.restart()
  await allAreTold(400_001)
  running.log.length = 0
  process.kill(redis.pid, 'SIGSTOP')
  try {
    await write(500_001)
    await running.logged('could not be published')
  } finally {
    process.kill(redis.pid, 'SIGCONT')
  }
  await allAreTold(500_001)
})

test('the process of the database that sends the log stands still for a while', async () => {
  const { pid } = (await slot())!.reader!
  process.kill(pid, 'SIGSTOP')
  try {
    await write(600_001)
    expect((await told()).has('600001')).toBe(false)
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  await allAreTold(600_001)
})
