import { expect, onTestFinished, test } from 'vitest'

import type { Batch } from '../../src/streams/batch.ts'
import type { Consumer } from '../../src/streams/consumer.ts'
import { Delayer } from '../../src/streams/delayer.ts'
import { isDrained } from '../../src/streams/inspect.ts'
import { StreamWriter } from '../../src/streams/stream-writer.ts'
import { Trimmer } from '../../src/streams/trimmer.ts'
import {
  alive,
  blocked,
  consumerOf,
  eventually,
  idsIn,
  messages,
  openConnections,
  pendingIn,
  rowIds,
  start,
  useStreams,
  type ConsumerChoices,
  type TestStream,
} from '../support/streams.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const open = useStreams()

/** The same stream, reached through a proxy. */
async function behindProxy(
  stream: TestStream,
  timeoutMs = 1_000,
): Promise<{ proxy: TcpProxy; behind: TestStream }> {
  const proxy = await TcpProxy.to(stream.url)
  onTestFinished(() => proxy.close())
  const connections = openConnections(`redis://127.0.0.1:${proxy.port}`, stream.logger, timeoutMs)
  const redis = connections.commands
  const writer = new StreamWriter(redis, stream.partitions)
  return { proxy, behind: { ...stream, connections, redis, writer } }
}

function collecting(stream: TestStream, seen: Set<string>, choices: Partial<ConsumerChoices> = {}): Consumer {
  const handler = ({ ids }: Batch): Promise<void> => {
    for (const id of ids) seen.add(id)
    return Promise.resolve()
  }
  return consumerOf(stream, { handler, takeOverAfterMs: 1_000, ...choices })
}

test('a connection that is cut in the middle of a blocking read: the Consumer goes on', async () => {
  const stream = await open()
  const { proxy, behind } = await behindProxy(stream)
  const seen = new Set<string>()
  start(collecting(behind, seen))
  await alive(stream, 1)
  for (let round = 1; round <= 5; round++) {
    await blocked(stream, proxy)
    proxy.cut()
    await stream.writer.publish(messages([round]), 'main')
    await eventually(() => expect(seen).toContain(`${round}`))
  }
  await eventually(async () => expect(await isDrained(stream.redis, stream.partitions)).toBe(true))
})

test('a connection that is half-open: the Consumer notices by its timeout and goes on', async () => {
  const stream = await open()
  const { proxy, behind } = await behindProxy(stream, 300)
  const seen = new Set<string>()
  start(collecting(behind, seen))
  await stream.writer.publish(messages(['1']), 'main')
  await eventually(() => expect(seen).toContain('1'))
  await blocked(stream, proxy)
  proxy.silence()
  await stream.writer.publish(messages(rowIds(20, 2)), 'main')
  await eventually(() => expect(seen).toEqual(new Set(rowIds(21))))
  await eventually(async () => expect(await isDrained(stream.redis, stream.partitions)).toBe(true))
})

test('a Redis that accepts connections and does not answer for a while: the Consumer goes on when it does', async () => {
  const stream = await open()
  const { proxy, behind } = await behindProxy(stream, 100)
  const seen = new Set<string>()
  start(collecting(behind, seen))
  await alive(stream, 1)
  proxy.dropReplies()
  // Several attempts to connect fail at the greeting.
  const clients = new Set(proxy.clients)
  await eventually(() => {
    for (const client of proxy.clients) clients.add(client)
    expect(clients.size).toBeGreaterThan(5)
  })
  await stream.writer.publish(messages(rowIds(20)), 'main')
  proxy.restore()
  await eventually(() => expect(seen).toEqual(new Set(rowIds(20))))
  await eventually(async () => expect(await isDrained(stream.redis, stream.partitions)).toBe(true))
})

test('connections that are cut and silent again and again, under load: nothing is lost', async () => {
  const stream = await open({ partitions: 2 })
  const { redis, partitions, namespace, logger } = stream
  const consumers = await behindProxy(stream, 300)
  const workers = await behindProxy(stream, 300)
  const seen = new Set<string>()
  for (const partition of partitions) {
    const choices = { partition, batchSize: 20 }
    start(collecting(consumers.behind, seen, choices))
    start(collecting(workers.behind, seen, choices))
  }
  const common = { redis: workers.behind.redis, namespace, partitions, logger }
  start(new Delayer({ ...common, delayMs: 50 }))
  start(new Trimmer({ ...common, groups: ['index'], retentionMs: 0, intervalMs: 20 }))
  const faults = [
    () => consumers.proxy.cut(),
    () => workers.proxy.cut(),
    () => consumers.proxy.silence(),
    () => workers.proxy.cut(),
    () => workers.proxy.silence(),
  ]
  for (let round = 0; round < 60; round++) {
    const rows = messages(rowIds(25, round * 25 + 1))
    // Half of them are published, what the others left is the Delayer's.
    const delayed = await stream.writer.delay(rows)
    if (round % 2 === 0) await stream.writer.publish(rows, round % 4 === 0 ? 'main' : 'bulk', delayed)
    if (round % 6 === 5) faults[Math.floor(round / 6) % faults.length]!()
  }
  await eventually(() => expect(seen.size).toBe(1_500))
  await eventually(async () => expect(await isDrained(redis, partitions)).toBe(true))
  for (const { keys } of partitions) {
    for (const key of [keys.delay, keys.main, keys.bulk])
      await eventually(async () => expect(await redis.xlen(key)).toBe(0))
  }
})

test('a message whose reply was lost is in the stream all the same, and the writer hears of it in time', async () => {
  const stream = await open()
  const { proxy, behind } = await behindProxy(stream, 300)
  await eventually(() => behind.connections.check())
  proxy.dropReplies()
  await expect(behind.writer.publish(messages(['1']), 'main')).rejects.toThrow(/timed out/)
  expect(new Set(await idsIn(stream.redis, stream.partition.keys.main))).toEqual(new Set(['1']))
  proxy.restore()
  await eventually(() => behind.connections.check())
})

test('what was done while Redis was away is acknowledged when it is back, and not done again', async () => {
  const stream = await open()
  const { redis, partition } = stream
  const { proxy, behind } = await behindProxy(stream, 300)
  const calls: (readonly string[])[] = []
  const handler = async ({ ids }: Batch): Promise<void> => {
    calls.push(ids)
    if (calls.length === 1) await proxy.refuse()
  }
  // Nobody takes the entries over in the meantime.
  start(consumerOf(behind, { handler, takeOverAfterMs: 60_000 }))
  await stream.writer.publish(messages(['1', '2']), 'main')
  await eventually(() =>
    expect(stream.log.some(({ message }) => /could not be acknowledged/.test(message))).toBe(true),
  )
  expect(await pendingIn(redis, partition.keys.main)).toBe(2)
  await proxy.accept()
  await eventually(async () => expect(await pendingIn(redis, partition.keys.main)).toBe(0))
  expect(calls).toEqual([['1', '2']])
})

test('workers that start before Redis does come up with it', async () => {
  const stream = await open()
  const { redis, partitions, namespace, logger, writer, log } = stream
  const { proxy, behind } = await behindProxy(stream, 300)
  await proxy.refuse()
  const seen = new Set<string>()
  start(collecting(behind, seen))
  start(new Delayer({ redis: behind.redis, namespace, partitions, delayMs: 0, logger }))
  await eventually(() => expect(log.filter(({ level }) => level === 'error').length).toBeGreaterThan(1))
  await writer.delay(messages(['1']))
  await proxy.accept()
  await eventually(() => expect(seen).toEqual(new Set(['1'])))
  await eventually(async () => expect(await isDrained(redis, partitions)).toBe(true))
})

test('while Redis is known to be away, a command is refused at once, and not after the next attempts to connect', async () => {
  const stream = await open()
  const { proxy, behind } = await behindProxy(stream)
  const { connections } = behind
  await connections.check()
  await proxy.refuse()
  // The first command waits until as many attempts have failed as it may wait for.
  await expect(connections.check()).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' })
  for (let i = 0; i < 100; i++) {
    const refused = connections.check().catch((error: unknown) => error)
    // Nothing is read from a socket before this.
    const later = new Promise((resolve) => void setImmediate(resolve, 'waits'))
    expect(await Promise.race([refused, later])).toMatchObject({
      code: 'REDIS_UNAVAILABLE',
      message: expect.stringContaining('ECONNREFUSED') as string,
    })
  }
  await proxy.accept()
  await eventually(() => connections.check())
})
