import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { startRedis, type ServerHandle } from '../../services/services.ts'
import { settingsFrom } from '../../src/runtime/settings.ts'
import { noteServed } from '../../src/streams/attendance.ts'
import { RedisConnections } from '../../src/streams/connection.ts'
import { partitionsOf } from '../../src/streams/keys.ts'
import { runScript } from '../../src/streams/scripts.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import { captured, recordingLogger, type Captured, type LogLine } from '../support/captured.ts'
import { codeBlocks } from './markdown.ts'

/** Application and workers do all that they can do as the users that docs/operations.md makes. */
let server: ServerHandle
let admin: Redis
let app: Captured
let pipeline: Pipeline
const workerLog: LogLine[] = []

beforeAll(async () => {
  server = await startRedis()
  admin = new Redis(server.url)
  const commands = codeBlocks('docs/operations.md')
    .flatMap(({ code }) => code.split('\n'))
    .filter((line) => line.startsWith('ACL SETUSER'))
  expect(commands).toHaveLength(2)
  for (const command of commands) {
    const [name = '', ...words] = command.split(' ')
    await admin.call(name, ...words)
  }
  const redis = urlOf('redstream-worker')
  app = await captured({
    redis: urlOf('redstream-app'),
    namespace: '',
    wait: { replicas: 0, timeoutMs: 100 },
  })
  pipeline = await openPipeline(
    {
      dataSource: app.dataSource,
      redis,
      elasticsearch: app.space.elasticsearchUrl,
      settings: settingsFrom({
        namespace: '',
        delay: '100ms',
        trimInterval: '100ms',
        retention: '100ms',
        captureSchema: app.space.namespace,
      }),
    },
    recordingLogger(workerLog),
  )
})
afterAll(async () => {
  await pipeline.close()
  await app.dispose()
  admin.disconnect()
  await server.stop()
})

function urlOf(user: string): string {
  const url = new URL(server.url)
  url.username = user
  url.password = 'secret'
  return url.href
}

test('the rights in docs/operations.md are enough', async () => {
  const stream = `${app.space.indexPrefix}cities`
  const partition = partitionsOf('', stream, 1)[0]!
  const { keys } = partition
  // Of an index that somebody deleted.
  await admin.sadd(keys.targets, 'gone.write')
  await pipeline.init()
  expect(await admin.smembers(keys.targets)).toHaveLength(1)

  // The application: every way in which it writes to Redis.
  const { dataSource, redstream, City } = app
  const city = await dataSource.manager.save(app.city('Rome'))
  const failed = dataSource.transaction(async (manager) => {
    await manager.save(app.city('gone'))
    throw new Error('undo')
  })
  await expect(failed).rejects.toThrow('undo')
  await redstream.bulk(City, {}, () => dataSource.manager.updateAll(City, { population: 1 }))
  await redstream.touch(City, city.id)
  await redstream.producer.delay(City, city.id)
  // A group that nobody serves, as a Trimmer drops it after a long time.
  await admin.xgroup('CREATE', keys.main, 'abandoned', '0')
  await admin.hset(keys.groups, 'abandoned', 1)
  const worker = new RedisConnections(urlOf('redstream-worker'), 5_000, recordingLogger(workerLog))
  await noteServed(worker.commands, partition, 'cache', 0)
  expect(
    await runScript(worker.commands, 'drop', [keys.main, keys.bulk, keys.groups], ['abandoned', 1]),
  ).toBe(1)
  await worker.close()
  // A member that has died with an entry in hand.
  await admin.xreadgroup('GROUP', 'index', 'dead', 'COUNT', 1, 'STREAMS', keys.main, '>')
  await admin.hset(keys.deadLetters, '7', '{"type":"x","reason":"x","attempts":1,"firstAt":1,"lastAt":1}')

  // The workers: read, take over, write dead letters, acknowledge, heal, trim, leave.
  const stopping = new AbortController()
  const runs = pipeline
    .workers(['consumer', 'delayer', 'trimmer'])
    .map((worker) => worker.run(stopping.signal))
  await redstream.producer.queue(City, 'not a number')
  await expect.poll(() => admin.hlen(keys.deadLetters), { timeout: 10_000 }).toBe(2)
  await expect.poll(() => admin.xlen(keys.delay), { timeout: 10_000 }).toBe(0)
  await expect.poll(() => admin.xlen(keys.main), { timeout: 10_000 }).toBe(0)
  const { streams, workers } = await pipeline.status()
  expect(streams[0]).toMatchObject({ name: stream, deadLetters: 2 })
  expect(workers).toHaveLength(3)
  const letters = await pipeline.deadLetters({})
  expect(letters.map(({ id }) => id).toSorted()).toEqual(['7', 'not a number'])
  await pipeline.retryLetters(letters.filter(({ id }) => id === '7'))
  await pipeline.discardLetters(letters.filter(({ id }) => id !== '7'))
  await expect.poll(() => admin.hlen(keys.deadLetters), { timeout: 10_000 }).toBe(0)

  // A reindex, followed by somebody, and its rollback.
  const reindexer = pipeline.reindexer(stream)
  const never = new AbortController().signal
  const following = new AbortController()
  const followed = reindexer.board.follow(() => undefined, following.signal)
  const wishes = { keepOldMs: 60_000, rate: 10_000 }
  expect(await reindexer.start(wishes, { hands: 1 }, never)).toMatchObject({ phase: 'keeping' })
  expect(await reindexer.rollBack(never)).toMatchObject({ phase: 'undone' })
  following.abort()
  await followed

  // An audit that reads a message.
  const ending = new AbortController()
  const audited = await pipeline.audit({
    against: 'trigger',
    forMs: 60_000,
    graceMs: 10_000,
    signal: ending.signal,
    onProgress: ({ changes }) => {
      if (changes > 0) ending.abort()
      else void dataSource.manager.update(City, city.id, { population: 2 })
    },
  })
  expect(audited.told).toBeGreaterThan(0)
  stopping.abort()
  await Promise.all(runs)

  expect(await admin.call('ACL', 'LOG')).toEqual([])
  expect(
    [...app.log, ...workerLog].filter(({ message }) => !message.includes('dead letter')),
  ).not.toContainEqual(expect.objectContaining({ level: 'error' }))
})
