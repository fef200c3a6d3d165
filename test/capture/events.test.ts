import { Redis } from 'ioredis'
import { MoreThan } from 'typeorm'
import { afterEach, expect, test } from 'vitest'

import { startRedis, type ServerHandle } from '../../services/services.ts'
import type { EventMap } from '../../src/runtime/events.ts'
import { captured, published, type Captured } from '../support/captured.ts'

let app: Captured

/** Everything that one event has told. */
function heard<Name extends keyof EventMap>(name: Name): EventMap[Name][0][] {
  const all: EventMap[Name][0][] = []
  const listener = (facts: EventMap[Name][0]): void => void all.push(facts)
  app.redstream.events.on(name, listener as never)
  return all
}

afterEach(() => app.dispose())

test('published: a save, a transaction, a touch and a bulk, each with its number of messages', async () => {
  app = await captured()
  const told = heard('published')
  const sincePublished = async (): Promise<EventMap['published'][0][]> => {
    await published(app.redstream)
    return told.splice(0)
  }
  const stream = app.partition.stream
  await app.dataSource.manager.save(['Rome', 'Oslo'].map((name) => app.city(name)))
  expect(await sincePublished()).toEqual([{ stream, lane: 'main', messages: 2 }])
  await app.dataSource.manager.insert(app.City, app.city('Bern'))
  expect(await sincePublished()).toEqual([{ stream, lane: 'main', messages: 1 }])
  await app.redstream.touch(app.City, [1, 2, 3])
  expect(await sincePublished()).toEqual([{ stream, lane: 'main', messages: 3 }])
  const all = { id: MoreThan(0) }
  await app.redstream.bulk(app.City, all, () =>
    app.dataSource.manager.update(app.City, all, { population: 1 }),
  )
  expect(await sincePublished()).toEqual([{ stream, lane: 'bulk', messages: 3 }])
  await app.dataSource
    .transaction(async (manager) => {
      await manager.save(app.city('nowhere'))
      throw new Error('rolled back')
    })
    .catch(() => undefined)
  expect(await sincePublished()).toEqual([])
})

test('uncaptured: every write that names no ids, also where the warning is given once', async () => {
  app = await captured({ returning: 'off' })
  const uncaptured = heard('uncaptured')
  const update = (): Promise<unknown> =>
    app.dataSource.createQueryBuilder().update(app.City).set({ population: 1 }).execute()
  for (let i = 0; i < 3; i++) await update()
  const fact = { entity: 'City', index: `${app.space.indexPrefix}cities`, kind: 'update' }
  expect(uncaptured).toEqual([fact, fact, fact])
})

test('what a consumer of the application does', async () => {
  app = await captured()
  const [delivered, settled] = [heard('delivered'), heard('settled')]
  await app.redstream.consume(app.partition.stream, 'cache', async () => undefined)
  await app.dataSource.manager.save(app.city('Rome'))
  await app.redstream.drained()
  const fact = { stream: app.partition.stream, group: 'cache', lane: 'main', entries: 1 }
  expect(delivered).toEqual([fact])
  expect(settled).toEqual([{ ...fact, seconds: expect.any(Number) }])
})

test('a listener that throws fails no write', async () => {
  app = await captured()
  app.redstream.events.on('published', () => {
    throw new Error('boom')
  })
  await app.dataSource.manager.save(app.city('Rome'))
  expect(await app.ids('main')).toEqual(['1'])
  expect(app.log).toMatchObject([{ level: 'error', facts: { event: 'published' } }])
})

test('publishFailed: Redis died between the delay message and the publish', async () => {
  const redis: ServerHandle = await startRedis({ appendOnly: true })
  try {
    app = await captured({ redis: redis.url, redisTimeout: '10s' })
    const failed = heard('publishFailed')
    const commands = new Redis(redis.url)
    commands.on('error', () => undefined)
    app.dataSource.subscribers.push({
      // Runs beside ours: when the delay message is there, Redis dies, and the commit begins.
      beforeTransactionCommit: async () => {
        await expect.poll(() => commands.xlen(app.partition.keys.delay)).toBe(1)
        // On the connection of the delay message: its answer has come, too.
        await app.redstream.inspect(app.partition.stream)
        commands.disconnect()
        await redis.kill()
      },
    })
    await app.dataSource.manager.save(app.city('Rome'))
    await published(app.redstream)
    expect(failed).toEqual([
      { stream: app.partition.stream, lane: 'main', messages: 1, error: expect.any(Error) },
    ])
  } finally {
    await redis.stop()
  }
})
