import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { startRedis, type ServerHandle } from '../../services/services.ts'
import { Redstream } from '../../src/redstream.ts'
import { RedisConnections } from '../../src/streams/connection.ts'
import { Delayer } from '../../src/streams/delayer.ts'
import { captured, published, recordingLogger, type Captured } from '../support/captured.ts'

/** What happens to writes when Redis goes away; each test has a Redis of its own that it may kill. */
describe('Redis away', () => {
  let redis: ServerHandle
  let app: Captured

  beforeEach(async () => {
    redis = await startRedis({ appendOnly: true })
  })
  afterEach(async () => {
    await app.dispose()
    await redis.stop()
  })

  const count = (): Promise<number> => app.dataSource.manager.count(app.City)

  test('reject: the save fails with a clear error, and the row is not there', async () => {
    app = await captured({ redis: redis.url, redisTimeout: '1s' })
    await redis.kill()
    await expect(app.dataSource.manager.save(app.city('Rome'))).rejects.toMatchObject({
      code: 'REDIS_UNAVAILABLE',
      message: expect.stringMatching(/rolled back.*Redis at 127\.0\.0\.1:\d+.*onUnavailable/),
    })
    expect(await count()).toBe(0)
  })

  test('reject: a write outside a transaction fails before its statement', async () => {
    app = await captured({ redis: redis.url, redisTimeout: '1s' })
    await redis.kill()
    // Before the socket has noticed, nobody can know.
    await expect.poll(() => app.log.some(({ message }) => message.includes('cannot be reached'))).toBe(true)
    await expect(app.dataSource.manager.insert(app.City, app.city('Rome'))).rejects.toMatchObject({
      code: 'REDIS_UNAVAILABLE',
    })
    expect(await count()).toBe(0)
  })

  const rename = (manager = app.dataSource.manager): Promise<unknown> =>
    app.redstream.update(app.City, { name: 'x' }, { name: 'y' }, { manager })
  const many = "INSERT INTO cities (name) SELECT 'x' FROM generate_series(1, 2500)"

  test('reject: an exact write of many rows changes none', async () => {
    app = await captured({ redis: redis.url, redisTimeout: '1s' })
    await app.dataSource.query(many)
    await redis.kill()
    await expect(rename()).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' })
    expect(await app.dataSource.manager.countBy(app.City, { name: 'y' })).toBe(0)
  })

  test('accept: an exact write of many rows without delay messages is published in full', async () => {
    app = await captured({ redis: redis.url, redisTimeout: '1s', onUnavailable: 'accept' })
    await app.dataSource.query(many)
    await app.dataSource.transaction(async (manager) => {
      await redis.kill()
      await rename(manager)
      await redis.restart()
      await expect.poll(() => app.redstream.inspect(app.partition.stream)).toHaveLength(1)
    })
    const { main, bulk } = app.partition.keys
    expect([await length(redis, main), await length(redis, bulk)]).toEqual([1_000, 1_500])
  })

  test('reject: a change that another subscriber makes while the commit begins is not committed either', async () => {
    app = await captured({ redis: redis.url, redisTimeout: '1s' })
    let saved = false
    app.dataSource.subscribers.push({
      // Our hook has nothing to wait for when it runs.
      beforeTransactionCommit: async ({ manager }) => {
        if (saved) return
        saved = true
        await redis.kill()
        await manager.save(app.city('late'))
      },
    })
    await expect(app.dataSource.transaction((manager) => manager.query('SELECT 1'))).rejects.toMatchObject({
      code: 'REDIS_UNAVAILABLE',
    })
    expect(await count()).toBe(0)
  })

  test('accept: the save succeeds, with a warning that says what to run', async () => {
    app = await captured({ redis: redis.url, redisTimeout: '1s', onUnavailable: 'accept' })
    await redis.kill()
    await app.dataSource.manager.save(app.city('Rome'))
    expect(await count()).toBe(1)
    expect(app.log).toContainEqual(
      expect.objectContaining({ level: 'warn', message: expect.stringContaining('redstream verify') }),
    )
    expect(app.log).toContainEqual(
      expect.objectContaining({ level: 'error', message: expect.stringContaining('have no delay message') }),
    )
  })

  test('a publish that fails after the commit: the save succeeds, and the Delayer heals it', async () => {
    app = await captured({ redis: redis.url, redisTimeout: '1s' })
    app.dataSource.subscribers.push({
      // Runs beside ours: when the delay message is there, Redis dies, and the commit begins.
      beforeTransactionCommit: async () => {
        await expect.poll(() => length(redis, app.partition.keys.delay)).toBe(1)
        await redis.kill()
      },
    })
    const city = await app.dataSource.manager.save(app.city('Rome'))
    expect(await count()).toBe(1)
    await published(app.redstream)
    expect(app.log).toContainEqual(
      expect.objectContaining({ level: 'error', message: expect.stringContaining('the Delayer re-queues') }),
    )

    await redis.restart()
    await withConnections(redis, async ({ commands }) => {
      const { namespace } = app.space
      const options = { namespace, partitions: [app.partition], delayMs: 0, logger: recordingLogger([]) }
      expect(await new Delayer({ ...options, redis: commands }).runOnce()).toBe(1)
      const [[, fields] = []] = await commands.xrange(app.partition.keys.main, '-', '+')
      expect(fields).toEqual(['id', String(city.id)])
    })
  })

  test('it works again by itself when Redis is back', async () => {
    app = await captured({ redis: redis.url, redisTimeout: '1s' })
    await redis.kill()
    await expect(app.dataSource.manager.save(app.city('Rome'))).rejects.toThrow()
    await redis.restart()
    await expect
      .poll(() =>
        app.dataSource.manager.save(app.city('Rome')).then(
          () => 'saved',
          () => 'failed',
        ),
      )
      .toBe('saved')
    expect(await length(redis, app.partition.keys.main)).toBe(1)
  })

  test('attach: a Redis that is not there, a wrong password, and no secret in the message', async () => {
    app = await captured({ redis: redis.url })
    await app.redstream.close()
    await redis.kill()
    await expect(
      Redstream.attach(app.dataSource, { redis: redis.url, logger: recordingLogger([]) }),
    ).rejects.toMatchObject({
      code: 'REDIS_UNAVAILABLE',
    })
    const locked = await startRedis({ password: 'right' })
    try {
      const wrong = new URL(locked.url)
      wrong.password = 'hunter2'
      const failure = Redstream.attach(app.dataSource, { redis: wrong.href, logger: recordingLogger([]) })
      await expect(failure).rejects.toMatchObject({
        code: 'REDIS',
        message: expect.stringContaining('refused the user or password'),
      })
      await expect(failure).rejects.not.toThrow(/hunter2/)
    } finally {
      await locked.stop()
    }
  })
})

async function withConnections<T>(
  redis: ServerHandle,
  use: (connections: RedisConnections) => Promise<T>,
): Promise<T> {
  const connections = new RedisConnections(redis.url, 1_000, recordingLogger([]))
  try {
    return await use(connections)
  } finally {
    await connections.close()
  }
}

function length(redis: ServerHandle, key: string): Promise<number> {
  return withConnections(redis, ({ commands }) => commands.xlen(key))
}
