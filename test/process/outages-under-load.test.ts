import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { startPostgres, startRedis, type ServerHandle } from '../../services/services.ts'
import { Redstream } from '../../src/redstream.ts'
import { cityDatabase } from '../fixtures/process/city.ts'
import { SteadyWrites } from '../fixtures/process/steady-writes.ts'
import { recordingLogger, type LogLine } from '../support/captured.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { waitUntil, type Program } from './support/program.ts'
import { World } from './support/world.ts'

let world: World
let run: Program
let postgres: ServerHandle
let redis: ServerHandle
let elasticsearch: TcpProxy
let writes: SteadyWrites

// Two applications write all the time, one that refuses writes without Redis and one that accepts them.
let accepting: { redstream: Redstream; database: ReturnType<typeof cityDatabase>; log: LogLine[] }
let acceptedWrites: SteadyWrites

beforeAll(async () => {
  ;[postgres, redis] = await Promise.all([startPostgres({ fsync: true }), startRedis({ appendOnly: true })])
  process.env['DATABASE_URL'] = postgres.url
  process.env['REDIS_URL'] = redis.url
  elasticsearch = await TcpProxy.to(process.env['ELASTICSEARCH_URL'] ?? '')
  world = await World.open()
  const { namespace, databaseUrl, redisUrl } = world.space
  const database = cityDatabase({ databaseUrl, space: namespace, partitions: 1 })
  await database.dataSource.initialize()
  const log: LogLine[] = []
  const redstream = await Redstream.attach(database.dataSource, {
    redis: redisUrl,
    namespace,
    onUnavailable: 'accept',
    logger: recordingLogger(log),
  })
  accepting = { redstream, database, log }
  run = await world.start('run --delay 500ms --trim-interval 50ms --request-timeout 1s', {
    ELASTICSEARCH_URL: `http://127.0.0.1:${elasticsearch.port}`,
  })
  const options = { rows: 50, rate: 50 }
  writes = new SteadyWrites(world.dataSource, world.City, { firstId: 1, ...options })
  acceptedWrites = new SteadyWrites(database.dataSource, database.City, { firstId: 1_001, ...options })
})
afterAll(async () => {
  try {
    await Promise.all([writes?.stop(), acceptedWrites?.stop()])
    await accepting?.redstream.close()
    await accepting?.database.dataSource.destroy()
    await world?.dispose()
  } finally {
    await Promise.all([elasticsearch?.close(), postgres?.stop(), redis?.stop()])
  }
})

beforeEach(() => {
  run.log.length = 0
  for (const { failed } of [writes, acceptedWrites]) failed.clear()
})

async function writesMore(count: number, of: SteadyWrites): Promise<void> {
  const target = of.done + count
  await waitUntil(
    () => of.done >= target,
    () => `${target - of.done} of ${count} writes are missing; ${JSON.stringify([...of.failed])}`,
  )
}

/** While the writing goes on, the workers keep up again: nobody has done anything to them. */
async function keepsUp(): Promise<void> {
  await Promise.all([writesMore(50, writes), writesMore(50, acceptedWrites)])
  const { main } = world.partitions[0]!.keys
  const newest = (await world.redis.xrevrange(main, '+', '-', 'COUNT', 1))[0]?.[0] ?? '0-0'
  await run.until(async () => {
    const [oldest] = await world.redis.xrange(main, '-', '+', 'COUNT', 1)
    return oldest === undefined || Number(oldest[0].split('-')[0]) > Number(newest.split('-')[0])
  }, 'does not keep up')
  expect(run.hasEnded).toBe(false)
}

test('Elasticsearch away: saves go on unhindered, and everything arrives afterwards', async () => {
  await writesMore(50, writes)
  await elasticsearch.refuse()
  await run.logged('Elasticsearch did not take these documents now')
  await Promise.all([writesMore(100, writes), writesMore(100, acceptedWrites)])
  await elasticsearch.accept()
  await keepsUp()
  expect([writes.failures, acceptedWrites.failures]).toEqual([0, 0])
})

test('Redis away: saves are refused before their commit with a clear error, or accepted with a warning', async () => {
  await redis.kill()
  await run.logged('Redis cannot be reached')
  await waitUntil(
    () => writes.failures >= 20,
    () => 'nothing is refused',
  )
  await writesMore(20, acceptedWrites)
  await redis.restart()
  await keepsUp()
  expect([...writes.failed.keys()]).toEqual(['REDIS_UNAVAILABLE'])
  expect(acceptedWrites.failures).toBe(0)
  expect(accepting.log).toContainEqual(
    expect.objectContaining({
      level: 'warn',
      message: expect.stringContaining('without a delay message') as string,
    }),
  )
})

test('PostgreSQL restarted: saves fail while it is away, and all goes on', async () => {
  await postgres.restart()
  await keepsUp()
  expect([...writes.failed.keys()]).not.toContain('REDIS_UNAVAILABLE')
})

test('at last every document equals its row; what was accepted without Redis, when it is touched as the warning says', async () => {
  await Promise.all([writes.stop(), acceptedWrites.stop()])
  await accepting.redstream.touch(
    accepting.database.City,
    Array.from({ length: 50 }, (_, i) => 1_001 + i),
  )
  await world.caughtUp()
  expect(await world.expectInSync()).toBe(100)
  expect(run.hasEnded).toBe(false)
})
