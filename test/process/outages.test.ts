import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'

import { startPostgres, startRedis, type ServerHandle } from '../../services/services.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { patienceMs, type Program } from './support/program.ts'
import { World } from './support/world.ts'

let world: World
let run: Program
let postgres: ServerHandle
let redis: ServerHandle
let elasticsearch: TcpProxy

// One `run` process lives through all of it, on servers of its own where they are killed.
beforeAll(async () => {
  ;[postgres, redis] = await Promise.all([startPostgres({ fsync: true }), startRedis({ appendOnly: true })])
  // A space takes the addresses from the environment, which is that of this file alone.
  process.env['DATABASE_URL'] = postgres.url
  process.env['REDIS_URL'] = redis.url
  elasticsearch = await TcpProxy.to(process.env['ELASTICSEARCH_URL'] ?? '')
  world = await World.open()
  run = await world.start('run --delay 200ms --trim-interval 50ms --request-timeout 1s', {
    ELASTICSEARCH_URL: `http://127.0.0.1:${elasticsearch.port}`,
  })
})
afterAll(async () => {
  try {
    await world?.dispose()
  } finally {
    await Promise.all([elasticsearch?.close(), postgres?.stop(), redis?.stop()])
  }
})

beforeEach(() => {
  run.log.length = 0
})

/** Each of the workers does its part, in the process that was started first. */
async function expectAllWorkersToWork(): Promise<void> {
  // A delay message that nobody publishes is the Delayer's.
  await world.redstream.producer.delay(world.City, [1])
  await world.caughtUp()
  expect(await world.expectInSync()).toBe(100)
  const { main } = world.partitions[0]!.keys
  await run.until(async () => (await world.redis.xlen(main)) === 0, 'trims nothing')
  expect(run.hasEnded).toBe(false)
}

test('the connection to Elasticsearch is cut, and refused for a while', async () => {
  await world.saveCities(50, 'before')
  await elasticsearch.refuse()
  await world.saveCities(100, 'meanwhile')
  await run.logged('Elasticsearch did not take these documents now')
  await elasticsearch.accept()
  await world.saveCities(10, 'after')
  await expectAllWorkersToWork()
})

test('Elasticsearch takes requests, but its answers are lost for a while', async () => {
  elasticsearch.dropReplies()
  await world.saveCities(100, 'unanswered')
  await run.logged('Elasticsearch did not take these documents now')
  // The line may be of the outage before.
  await expect.poll(() => world.document(100)).toMatchObject({ name: 'unanswered' })
  await world.saveCities(10, 'unanswered, too')
  elasticsearch.restore()
  await expectAllWorkersToWork()
})

test('Redis is killed and comes back with its data', async () => {
  await world.saveCities(50, 'before Redis died')
  await redis.kill()
  // The write is refused before its commit: there is nothing to lose.
  await expect(world.saveCities(100, 'while Redis was dead')).rejects.toMatchObject({
    code: 'REDIS_UNAVAILABLE',
  })
  expect(await world.dataSource.manager.countBy(world.City, { name: 'while Redis was dead' })).toBe(0)
  await run.logged('Redis cannot be reached')
  await redis.restart()
  // Refused until the application has connected again.
  await vi.waitFor(() => world.saveCities(10, 'after'), { timeout: patienceMs })
  await expectAllWorkersToWork()
})

test('PostgreSQL is killed and comes back with its data', async () => {
  // The workers stand still until PostgreSQL is dead, so that they cannot have read these changes before.
  await run.freeze()
  await world.saveCities(50, 'before PostgreSQL died')
  await postgres.kill()
  run.thaw()
  await expect(world.saveCities(100, 'while PostgreSQL was dead')).rejects.toThrow()
  await run.logged('a batch failed and is tried again')
  await postgres.restart()
  await expectAllWorkersToWork()
})
