import { expect, test } from 'vitest'

import type { Batch } from '../../src/streams/batch.ts'
import { isDrained, workerStatus } from '../../src/streams/inspect.ts'
import { Isolation } from '../../src/streams/isolation.ts'
import {
  alive,
  blocked,
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
} from '../support/streams.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const open = useStreams()

test('a graceful stop finishes the batches in flight, reads no more, and leaves the group', async () => {
  const stream = await open()
  const { redis, writer, partition, namespace } = stream
  await writer.publish(messages(rowIds(50)), 'main')
  const release = gate()
  const seen: string[] = []
  const handler = async ({ ids }: Batch): Promise<void> => {
    seen.push(...ids)
    await release.passed
  }
  const running = start(consumerOf(stream, { handler, batchSize: 10, concurrency: 2 }))
  await eventually(() => expect(seen).toHaveLength(20))
  expect(await workerStatus(redis, namespace)).toMatchObject([{ kind: 'consumer', pid: process.pid }])
  running.abort()
  release.open()
  await running.finished
  expect(seen).toHaveLength(20)
  expect(await pendingIn(redis, partition.keys.main)).toBe(0)
  expect(await membersOf(stream)).toEqual([])
  expect(await workerStatus(redis, namespace)).toEqual([])
  // The rest is there for whoever comes.
  await consumerOf(stream, { handler }).runOnce()
  expect(seen).toHaveLength(50)
})

test('the handler learns of the stop, and what it then leaves undone is free for others at once', async () => {
  const stream = await open()
  const { redis, writer, partition, partitions } = stream
  await writer.publish(messages(rowIds(4)), 'main')
  const started = gate()
  const handler = ({ ids, signal }: Batch): Promise<{ retry: readonly string[] }> =>
    new Promise((resolve) => {
      started.open()
      signal.addEventListener('abort', () => resolve({ retry: ids.slice(1) }))
    })
  const running = start(consumerOf(stream, { handler }))
  await started.passed
  await running.stop()
  expect(await pendingIn(redis, partition.keys.main)).toBe(3)
  expect(await workerStatus(redis, stream.namespace)).toEqual([])
  const seen: string[] = []
  start(consumerOf(stream, { handler: ({ ids }) => Promise.resolve(void seen.push(...ids)) }))
  await eventually(async () => expect(await isDrained(redis, partitions)).toBe(true))
  expect(seen).toEqual(['2', '3', '4'])
})

test('a stop does not wait for the pause after a failure', async () => {
  const stream = await open()
  await stream.writer.publish(messages(['1']), 'main')
  let failures = 0
  const handler = (): Promise<void> => Promise.reject(new Error(`failure ${++failures}`))
  const running = start(consumerOf(stream, { handler }))
  await eventually(() => expect(failures).toBeGreaterThan(2))
  await running.stop()
  expect(await pendingIn(stream.redis, stream.partition.keys.main)).toBe(1)
})

test('a stop before the first read, and two at once, are all right', async () => {
  const stream = await open()
  const consumer = consumerOf(stream, { handler: () => Promise.resolve() })
  await consumer.run(AbortSignal.abort())
  const running = start(consumer)
  await Promise.all([running.stop(), running.stop()])
  expect(await workerStatus(stream.redis, stream.namespace)).toEqual([])
})

test('a stop while Redis is away does not wait until it is back', async () => {
  const stream = await open()
  const proxy = await TcpProxy.to(stream.url)
  const connections = openConnections(`redis://127.0.0.1:${proxy.port}`, stream.logger, 500)
  const running = start(consumerOf({ ...stream, connections }, { handler: () => Promise.resolve() }))
  await alive(stream, 1)
  await proxy.refuse()
  await eventually(() => expect(stream.log.some(({ level }) => level === 'warn')).toBe(true))
  await running.stop()
  await connections.close()
})

test('a stop while the connection is silent does not wait until it is cut', async () => {
  const stream = await open()
  const proxy = await TcpProxy.to(stream.url)
  const connections = openConnections(`redis://127.0.0.1:${proxy.port}`, stream.logger, 300)
  const running = start(consumerOf({ ...stream, connections }, { handler: () => Promise.resolve() }))
  await alive(stream, 1)
  proxy.silence()
  await running.stop()
  await connections.close()
  await proxy.close()
})

test('a stop while Redis accepts connections and does not answer comes to its end', async () => {
  const stream = await open()
  const proxy = await TcpProxy.to(stream.url)
  const connections = openConnections(`redis://127.0.0.1:${proxy.port}`, stream.logger, 100)
  // It never looks for the dead again, so that it waits for its reader and for nothing else.
  const choices = { handler: () => Promise.resolve(), takeOverAfterMs: 3_600_000 }
  const running = start(consumerOf({ ...stream, connections }, choices))
  await blocked(stream, proxy)
  const before = proxy.clients
  proxy.dropReplies()
  // The reader has lost its connection, made a new one, and waits for the answer to its greeting.
  await eventually(() => expect(proxy.clients.some((client) => before.includes(client))).toBe(false))
  await eventually(() => expect(proxy.clients.length).toBeGreaterThan(0))
  await running.stop()
  await connections.close()
  await proxy.close()
})

test('runOnce leaves neither members nor connections behind', async () => {
  const stream = await open()
  const { redis, writer, namespace } = stream
  const proxy = await TcpProxy.to(stream.url)
  const connections = openConnections(`redis://127.0.0.1:${proxy.port}`, stream.logger)
  const consumer = consumerOf({ ...stream, connections }, { handler: () => Promise.resolve(), batchSize: 1 })
  await writer.publish(messages(rowIds(10)), 'main')
  for (let pass = 0; pass < 10; pass++) expect(await consumer.runOnce()).toBe(1)
  expect(await membersOf(stream)).toEqual([])
  expect(await membersOf(stream, 'bulk')).toEqual([])
  expect(await workerStatus(redis, namespace)).toEqual([])
  await eventually(() => expect(proxy.connections).toBe(1))
  await connections.close()
  await proxy.close()
})

test('a stop does not wait for the turn of a batch that must be alone, and nobody waits for that batch any more', async () => {
  const stream = await open()
  const { redis, writer, partition, log } = stream
  const isolation = new Isolation()
  const release = gate()
  const seen: string[] = []
  const busy = start(
    consumerOf(stream, {
      isolation,
      group: 'busy',
      handler: async ({ ids }) => {
        seen.push(...ids)
        if (seen.length === 1) await release.passed
      },
    }),
  )
  await writer.publish(messages(['1']), 'main')
  await eventually(() => expect(seen).toEqual(['1']))
  await readAs(stream, 'dead', 1)
  const [entry] = await entriesIn(redis, partition.keys.main)
  await redis.xclaim(partition.keys.main, 'index', 'dead', 0, entry!.id, 'RETRYCOUNT', 4, 'JUSTID')
  const tried: string[] = []
  const handler = ({ ids }: Batch): Promise<void> => Promise.resolve(void tried.push(...ids))
  const waiting = start(consumerOf(stream, { isolation, handler }))
  await eventually(() =>
    expect(log).toContainEqual(expect.objectContaining({ message: 'took over entries' }) as unknown),
  )
  await waiting.stop()
  expect(tried).toEqual([])
  expect(await pendingIn(redis, partition.keys.main)).toBe(1)
  await writer.publish(messages(['2']), 'main')
  await eventually(() => expect(seen).toEqual(['1', '2']))
  release.open()
  await busy.stop()
})
