import { expect, onTestFinished, test } from 'vitest'

import type { Batch, BatchResult } from '../../src/streams/batch.ts'
import { createGroup } from '../../src/streams/group-member.ts'
import { isDrained } from '../../src/streams/inspect.ts'
import {
  beatAs,
  consumerOf,
  entriesIn,
  eventually,
  gate,
  membersOf,
  messages,
  openConnections,
  pendingIn,
  readAs,
  rowIds,
  start,
  useStreams,
  type TestStream,
} from '../support/streams.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const open = useStreams()

/** Shows the heartbeat of a worker that is not this process, until it is told to stop. */
async function beating(stream: TestStream, member: string): Promise<() => void> {
  await beatAs(stream, member)
  const timer = setInterval(() => void beatAs(stream, member).catch(() => undefined), 100)
  const stop = (): void => clearInterval(timer)
  onTestFinished(stop)
  return stop
}

function collector(seen: string[]): (batch: Batch) => Promise<void> {
  return ({ ids }) => Promise.resolve(void seen.push(...ids))
}

/** Each member of the group in the main lane with the number of entries that it holds. */
async function holdings({ redis, partition }: TestStream): Promise<Record<string, number>> {
  const [, , , members] = (await redis.xpending(partition.keys.main, 'index')) as [
    number,
    string | null,
    string | null,
    [string, string][] | null,
  ]
  return Object.fromEntries((members ?? []).map(([name, count]) => [name, Number(count)]))
}

test('entries of a member without a heartbeat are taken over, in both lanes, and the member is forgotten', async () => {
  const stream = await open()
  const { redis, writer, partitions } = stream
  await writer.publish(messages(rowIds(250)), 'main')
  await writer.publish(messages(rowIds(30, 1_001)), 'bulk')
  await readAs(stream, 'dead', 250, 'main')
  await readAs(stream, 'dead', 30, 'bulk')
  const seen: string[] = []
  start(consumerOf(stream, { handler: collector(seen) }))
  await eventually(async () => expect(await isDrained(redis, partitions)).toBe(true))
  expect(new Set(seen)).toEqual(new Set([...rowIds(250), ...rowIds(30, 1_001)]))
  await eventually(async () => expect(await membersOf(stream)).not.toContain('dead'))
  await eventually(async () => expect(await membersOf(stream, 'bulk')).not.toContain('dead'))
})

test('runOnce takes over first', async () => {
  const stream = await open()
  const { writer } = stream
  await writer.publish(messages(['1', '2']), 'main')
  await readAs(stream, 'dead', 1)
  const seen: string[] = []
  const consumer = consumerOf(stream, { handler: collector(seen) })
  await consumer.runOnce()
  expect(seen).toEqual(['1'])
  await consumer.runOnce()
  expect(seen).toEqual(['1', '2'])
})

test('a member that dies in the middle of its work loses its entries when its heartbeat has been away', async () => {
  const stream = await open()
  const { redis, writer, partitions } = stream
  await writer.publish(messages(rowIds(5)), 'main')
  const die = await beating(stream, 'doomed')
  await readAs(stream, 'doomed', 5)
  const seen: string[] = []
  start(consumerOf(stream, { handler: collector(seen), takeOverAfterMs: 1_000 }))
  await writer.publish(messages(['6']), 'main')
  await eventually(() => expect(seen).toEqual(['6']))
  expect(await holdings(stream)).toMatchObject({ doomed: 5 })
  die()
  await eventually(async () => expect(await isDrained(redis, partitions)).toBe(true))
  expect(seen).toEqual(['6', ...rowIds(5)])
})

test('entries of a living member are not taken, however slow it is', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  await createGroup(redis, partition, 'index')
  await writer.publish(messages(rowIds(3)), 'main')
  await beating(stream, 'slow')
  await readAs(stream, 'slow', 3)
  // It has held them for an hour.
  const held = (await entriesIn(redis, partition.keys.main)).map(({ id }) => id)
  await redis.xclaim(partition.keys.main, 'index', 'slow', 0, ...held, 'IDLE', 3_600_000)
  const seen: string[] = []
  const consumer = consumerOf(stream, { handler: collector(seen), takeOverAfterMs: 1_000 })
  start(consumer)
  // Three that die one after the other show that the Consumer has looked each time.
  for (const id of ['11', '12', '13']) {
    await writer.publish(messages([id]), 'main')
    await eventually(() => expect(seen).toContain(id))
    await redis.xadd(partition.keys.main, '*', 'id', `of the dead ${id}`)
    await readAs(stream, `dead ${id}`, 1)
    await eventually(() => expect(seen).toContain(`of the dead ${id}`))
    expect(await holdings(stream)).toMatchObject({ slow: 3 })
  }
  for (const id of rowIds(3)) expect(seen).not.toContain(id)
})

test('a Consumer that works for long keeps its entries by its own heartbeat', async () => {
  const stream = await open()
  const { writer } = stream
  const release = gate()
  const calls: string[] = []
  const handler = async ({ ids }: Batch): Promise<void> => {
    calls.push(ids.join())
    if (calls.length === 1) await release.passed
  }
  start(consumerOf(stream, { handler, batchSize: 1, concurrency: 1, takeOverAfterMs: 1_200 }))
  await writer.publish(messages(['slow']), 'main')
  await eventually(() => expect(calls).toEqual(['slow']))
  const other = start(consumerOf(stream, { handler, takeOverAfterMs: 1_200 }))
  // The other one looks for the dead all the time: it takes over from two that die more than 1.2 s apart.
  await readSome(stream, 'first')
  await eventually(() => expect(calls).toContain('first'))
  const later = performance.now() + 1_300
  await eventually(() => expect(performance.now()).toBeGreaterThan(later))
  await readSome(stream, 'second')
  await eventually(() => expect(calls).toContain('second'))
  expect(calls.filter((call) => call === 'slow')).toHaveLength(1)
  release.open()
  await other.stop()
})

/** Adds a message that a member without a heartbeat reads before anybody else can. */
async function readSome(stream: TestStream, id: string): Promise<void> {
  const { main } = stream.partition.keys
  await stream.redis
    .multi()
    .xadd(main, '*', 'id', id)
    .xreadgroup('GROUP', 'index', `dead ${id}`, 'COUNT', 1, 'STREAMS', main, '>')
    .exec()
}

test('entries of our own whose reply was lost are recovered', async () => {
  const stream = await open()
  const { redis, writer, partitions } = stream
  const proxy = await TcpProxy.to(stream.url)
  onTestFinished(() => proxy.close())
  const connections = openConnections(`redis://127.0.0.1:${proxy.port}`, stream.logger)
  const seen: string[] = []
  start(
    consumerOf(
      { ...stream, connections },
      { handler: collector(seen), takeOverAfterMs: 1_000, batchSize: 2 },
    ),
  )
  await writer.publish(messages(['1']), 'main')
  await eventually(() => expect(seen).toEqual(['1']))
  const [me] = await membersOf(stream)
  proxy.dropReplies('lost')
  await writer.publish(messages(['lost 1', 'lost 2', 'lost 3']), 'main')
  await eventually(async () => expect((await holdings(stream))[me!]).toBeGreaterThan(0))
  proxy.cut()
  proxy.restore()
  await eventually(async () => expect(await isDrained(redis, partitions)).toBe(true))
  expect(new Set(seen)).toEqual(new Set(['1', 'lost 1', 'lost 2', 'lost 3']))
})

test('an entry that was deleted while it was pending does not hang: the others are taken over, none stays pending', async () => {
  const stream = await open()
  const { redis, writer, partition, partitions } = stream
  await writer.publish(messages(rowIds(6)), 'main')
  await readAs(stream, 'dead', 6)
  const entries = await entriesIn(redis, partition.keys.main)
  await redis.xdel(partition.keys.main, entries[0]!.id, entries[3]!.id, entries[5]!.id)
  const seen: string[] = []
  start(consumerOf(stream, { handler: collector(seen), batchSize: 2 }))
  await eventually(async () => expect(await isDrained(redis, partitions)).toBe(true))
  expect(seen.sort()).toEqual(['2', '3', '5'])
})

test('an entry that is deleted while its handler works is acknowledged like any other', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  await writer.publish(messages(['1']), 'main')
  const handler = async (): Promise<void> => {
    const [entry] = await entriesIn(redis, partition.keys.main)
    await redis.xdel(partition.keys.main, entry!.id)
  }
  await consumerOf(stream, { handler }).runOnce()
  expect(await pendingIn(redis, partition.keys.main)).toBe(0)
})

test('two Consumers that take over at the same time do all of it', async () => {
  const stream = await open()
  const { redis, writer, partitions, url, logger } = stream
  await writer.publish(messages(rowIds(1_000)), 'main')
  await readAs(stream, 'dead', 1_000)
  const seen: string[] = []
  for (let consumer = 0; consumer < 3; consumer++) {
    const connections = openConnections(url, logger)
    start(consumerOf(stream, { connections, handler: collector(seen), batchSize: 20 }))
  }
  await eventually(async () => expect(await isDrained(redis, partitions)).toBe(true))
  expect(new Set(seen)).toEqual(new Set(rowIds(1_000)))
})

test('members that died with nothing in hand are forgotten too', async () => {
  const stream = await open()
  await createGroup(stream.redis, stream.partition, 'index')
  for (const lane of ['main', 'bulk'] as const) {
    for (const name of ['dead 1', 'dead 2']) {
      await stream.redis.xgroup('CREATECONSUMER', stream.partition.keys[lane], 'index', name)
    }
  }
  start(consumerOf(stream, { handler: () => Promise.resolve(), takeOverAfterMs: 1_000 }))
  for (const lane of ['main', 'bulk'] as const) {
    await eventually(async () => expect((await membersOf(stream, lane)).join()).not.toMatch(/dead/))
  }
})

test.each(['the group', 'the stream', 'every key'] as const)(
  'when %s is deleted by hand it is made again, and the log says what to do',
  async (what) => {
    const stream = await open()
    const { redis, writer, partition, log, namespace } = stream
    const { main } = partition.keys
    const seen: string[] = []
    start(consumerOf(stream, { handler: collector(seen), takeOverAfterMs: 1_000 }))
    await writer.publish(messages(['1']), 'main')
    await eventually(() => expect(seen).toEqual(['1']))
    if (what === 'the group') await redis.xgroup('DESTROY', main, 'index')
    else if (what === 'the stream') await redis.del(main)
    else await redis.del(...Object.values(partition.keys), `${namespace}:redstream:workers`)
    await eventually(() => {
      const error = log.find(({ level }) => level === 'error')
      expect(error?.message).toMatch(/was gone and is made again.*redstream verify/)
      expect(error?.facts).toMatchObject({ stream: 'cities', partition: 0, group: 'index' })
    })
    await writer.publish(messages(['2']), 'main')
    await writer.publish(messages(['3']), 'bulk')
    await eventually(() => expect(seen).toEqual(expect.arrayContaining(['2', '3'])))
    expect(log.filter(({ message }) => /cannot read/.test(message))).toEqual([])
  },
)

test('a stream that is deleted while the Consumer is busy is made again too', async () => {
  const stream = await open()
  const { redis, writer, partition, log } = stream
  const release = gate()
  const seen: string[] = []
  const handler = async ({ ids }: Batch): Promise<void> => {
    seen.push(...ids)
    await release.passed
  }
  // So busy that it looks for the dead before it reads again.
  start(consumerOf(stream, { handler, concurrency: 1, takeOverAfterMs: 1 }))
  await writer.publish(messages(['1']), 'main')
  await eventually(() => expect(seen).toEqual(['1']))
  await redis.del(partition.keys.main, partition.keys.bulk)
  release.open()
  await eventually(async () => expect(await redis.exists(partition.keys.main, partition.keys.bulk)).toBe(2))
  await writer.publish(messages(['2']), 'main')
  await eventually(() => expect(seen).toEqual(['1', '2']))
  expect(log.filter(({ message }) => /cannot read/.test(message))).toEqual([])
})

test('deliveries are forgotten when a row was tried, and not when it was not even begun', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  await writer.publish(messages(rowIds(3)), 'main')
  await readAs(stream, 'dead', 3)
  let tries = 0
  const handler = ({ ids }: Batch): Promise<BatchResult> => {
    tries++
    return Promise.resolve({ retry: ids, untried: ids.slice(tries) })
  }
  const deliveries = async (): Promise<number[]> =>
    (
      (await redis.xpending(partition.keys.main, 'index', '-', '+', 10)) as [string, string, number, number][]
    ).map(([, , , count]) => count)
  const running = start(consumerOf(stream, { handler }))
  await eventually(async () => expect(await deliveries()).toEqual([1, 2, 2]))
  await eventually(async () => expect(await deliveries()).toEqual([1, 1, 2]))
  await eventually(async () => expect(await deliveries()).toEqual([1, 1, 1]))
  await running.stop()
})
