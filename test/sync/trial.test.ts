import { afterEach, expect, onTestFinished, test } from 'vitest'

import { Progress } from '../../src/runtime/progress.ts'
import type { Batch } from '../../src/streams/batch.ts'
import { bury, deadLetterOf } from '../../src/streams/dead-letters.ts'
import { defineScripts } from '../../src/streams/scripts.ts'
import { parseStreamId } from '../../src/streams/stream-id.ts'
import { isCondemned, killedType, Trial } from '../../src/sync/trial.ts'
import { pipelined, type Pipelined } from '../support/pipelined.ts'
import { eventually, openConnections, redisNow, useStreams } from '../support/streams.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const open = useStreams()
let app: Pipelined | undefined

afterEach(async () => {
  await app?.dispose()
  app = undefined
})

test.for([
  [killedType, 3, 5, true],
  [killedType, 2, 5, false],
  ['document_failed', 3, 5, false],
  // It was changed since the last death: it may be mended.
  [killedType, 3, 6, false],
] as const)(
  'a letter of type %s after %s attempts, row published at %s: condemned %s',
  ([type, attempts, publishedMs, condemned]) => {
    expect(isCondemned({ type, attempts, lastAt: new Date(5).toISOString() }, publishedMs)).toBe(condemned)
  },
)

/** As if processes had died so often that the entries are tried alone from now on. */
async function suspect({ space, partition }: Pipelined): Promise<void> {
  const redis = space.redis()
  const { main } = partition.keys
  await redis.xreadgroup('GROUP', 'index', 'dead', 'COUNT', 10, 'STREAMS', main, '>')
  for (const [id] of await redis.xrange(main, '-', '+'))
    await redis.xclaim(main, 'index', 'dead', 0, id, 'RETRYCOUNT', 4, 'JUSTID')
}

async function condemn({ space, partition }: Pipelined, id: number): Promise<void> {
  const redis = space.redis()
  defineScripts(redis)
  const letter = { id: String(id), type: killedType, reason: 'killed' }
  for (const ticket of ['1', '2', '3']) await bury(redis, partition, [letter], ticket, 10)
}

test.for(['mended', 'removed'] as const)(
  'a condemned row that is %s is tried again, also when its new message comes alone',
  async (how) => {
    app = await pipelined()
    const city = await app.dataSource.manager.save(app.city('lethal'))
    const { id } = city
    const stop = app.start('consumer')
    await app.redstream.drained()
    await stop()
    await condemn(app, id)
    const redis = app.space.redis()
    const condemnedAt = await redisNow(redis)
    await eventually(async () => expect(await redisNow(redis)).toBeGreaterThan(condemnedAt))
    if (how === 'mended') await app.dataSource.manager.save(Object.assign(city, { name: 'mended' }))
    else await app.dataSource.manager.remove(city)
    await suspect(app)
    app.start('consumer')
    await app.redstream.drained()
    expect((await app.document(id))?.['name']).toBe(how === 'mended' ? 'mended' : undefined)
    expect(await app.pipeline.deadLetters({})).toEqual([])
  },
)

test('a condemned row that has not changed since is not tried', async () => {
  app = await pipelined()
  const { id } = await app.dataSource.manager.save(app.city('lethal'))
  await suspect(app)
  await condemn(app, id)
  app.start('consumer')
  await app.redstream.drained()
  expect(await app.document(id)).toBeUndefined()
  expect(await app.pipeline.deadLetters({})).toMatchObject([{ type: killedType, attempts: 3 }])
})

test('while there is no room for its letter, a row is not tried, and stays suspected for the next process', async () => {
  app = await pipelined({ deadLetterCap: 1 })
  const { space, partition, pipeline, workerLog } = app
  const redis = space.redis()
  defineScripts(redis)
  await bury(redis, partition, [{ id: 'other', type: 'x', reason: 'x' }], '1', 1)
  const { id } = await app.dataSource.manager.save(app.city('suspect'))
  await suspect(app)
  const stop = app.start('consumer')
  await eventually(() =>
    expect(workerLog.filter(({ message }) => /dead letters are full/.test(message)).length).toBeGreaterThan(
      1,
    ),
  )
  await stop()
  expect(await redis.xpending(partition.keys.main, 'index', '-', '+', 10)).toMatchObject([
    [expect.any(String), expect.any(String), expect.any(Number), 5],
  ])
  await pipeline.discardLetters(await pipeline.deadLetters({}))
  app.start('consumer')
  await app.redstream.drained()
  expect(await app.document(id)).toMatchObject({ name: 'suspect' })
  expect(await pipeline.deadLetters({})).toEqual([])
})

test('replies that are lost at the beginning of a trial are no deaths', async () => {
  const stream = await open()
  const { partition, logger } = stream
  const proxy = await TcpProxy.to(stream.url)
  onTestFinished(() => proxy.close())
  const connections = openConnections(`redis://127.0.0.1:${proxy.port}`, logger, 300)
  await connections.check()
  const trial = new Trial({ redis: connections.commands, deadLetterCap: 10, logger })
  const batch = {
    ids: ['1'],
    partition,
    entries: [{ id: parseStreamId('1-0'), fields: [] }],
    activity: new Progress().begin('handle'),
  } as unknown as Batch
  // What the script that writes the letter answers: the number of attempts.
  for (const reply of [':1\r', ':2\r', ':3\r']) {
    proxy.dropReplies(reply)
    await trial.begin(batch).catch(() => undefined)
    proxy.restore()
  }
  await eventually(async () => expect(await trial.begin(batch)).toBe('try'))
  expect(await deadLetterOf(stream.redis, partition, '1')).toMatchObject({ attempts: 1 })
})
