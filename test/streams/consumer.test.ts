import { expect, test } from 'vitest'

import type { Batch } from '../../src/streams/batch.ts'
import { bury } from '../../src/streams/dead-letters.ts'
import { createGroup } from '../../src/streams/group-member.ts'
import { inspectPartition, isDrained } from '../../src/streams/inspect.ts'
import {
  alive,
  consumerOf,
  entriesIn,
  eventually,
  gate,
  membersOf,
  messages,
  openConnections,
  pendingIn,
  rowIds,
  start,
  useStreams,
} from '../support/streams.ts'

const open = useStreams()

test('runOnce does not call the handler without messages', async () => {
  const stream = await open()
  let called = false
  const handler = (): Promise<void> => Promise.resolve(void (called = true))
  expect(await consumerOf(stream, { handler }).runOnce()).toBe(0)
  expect(called).toBe(false)
})

test('runOnce yields messages in batches, in the order in which they were published', async () => {
  const stream = await open()
  await stream.writer.publish(messages(rowIds(15)), 'main')
  const batches: (readonly string[])[] = []
  const handler = ({ ids }: Batch): Promise<void> => Promise.resolve(void batches.push(ids))
  const consumer = consumerOf(stream, { handler, batchSize: 10 })
  expect(await consumer.runOnce()).toBe(10)
  expect(await consumer.runOnce()).toBe(5)
  expect(await consumer.runOnce()).toBe(0)
  expect(batches).toEqual([rowIds(10), rowIds(5, 11)])
})

test('the offset is updated, and the next Consumer goes on from there', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  await createGroup(redis, partition, 'index')
  const lastDelivered = async (): Promise<string | undefined> =>
    (await inspectPartition(redis, partition)).main.groups[0]?.lastDeliveredId
  expect(await lastDelivered()).toBe('0-0')
  await writer.publish(messages(['1', '2']), 'main')
  const [first, second] = await entriesIn(redis, partition.keys.main)
  const seen: string[] = []
  const handler = ({ ids }: Batch): Promise<void> => Promise.resolve(void seen.push(...ids))
  await consumerOf(stream, { handler, batchSize: 1 }).runOnce()
  expect(await lastDelivered()).toBe(first!.id)
  expect(seen).toEqual(['1'])
  await consumerOf(stream, { handler, batchSize: 1 }).runOnce()
  expect(await lastDelivered()).toBe(second!.id)
  expect(seen).toEqual(['1', '2'])
})

test('a batch names its stream, group, partition and lane, and carries payloads', async () => {
  const stream = await open({ partitions: 2 })
  const { writer, partitions } = stream
  const partition = partitions[1]!
  // "3" belongs to the second of two partitions.
  await writer.publish([{ id: '3', payload: '{"n":1}' }], 'bulk')
  const batches: Batch[] = []
  const handler = (batch: Batch): Promise<void> => Promise.resolve(void batches.push(batch))
  for (const one of partitions)
    await consumerOf(stream, { handler, group: 'cache', partition: one }).runOnce()
  expect(batches).toHaveLength(1)
  const [batch] = batches
  expect(batch).toMatchObject({
    stream: 'cities',
    group: 'cache',
    lane: 'bulk',
    ids: ['3'],
    messages: [{ id: '3', payload: '{"n":1}' }],
  })
  expect(batch?.partition).toBe(partition)
  expect(batch?.signal.aborted).toBe(false)
})

test('a row that comes several times in a batch is handed over once, with its last payload', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  for (const [id, payload] of ['a1', 'b1', 'a2', 'c1', 'a3'].entries()) {
    await writer.publish([{ id: payload[0]!, payload: JSON.stringify([payload, id]) }], 'main')
  }
  const batches: Batch[] = []
  const handler = (batch: Batch): Promise<void> => Promise.resolve(void batches.push(batch))
  expect(await consumerOf(stream, { handler }).runOnce()).toBe(5)
  expect(batches.map(({ ids }) => ids)).toEqual([['b', 'c', 'a']])
  expect(batches[0]?.messages.at(-1)).toEqual({ id: 'a', payload: '["a3",4]' })
  expect(await pendingIn(redis, partition.keys.main)).toBe(0)
})

test('what the handler wants to retry comes again alone, and only then it is acknowledged', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  // Row 2 comes twice: neither entry is done before the row is.
  await writer.publish(messages(['1', '2', '3', '2']), 'main')
  const calls: (readonly string[])[] = []
  const pending: number[] = []
  const handler = async ({ ids }: Batch): Promise<{ retry: string[] }> => {
    calls.push(ids)
    pending.push(await pendingIn(redis, partition.keys.main))
    return { retry: calls.length < 3 ? ['2', 'not of this batch'] : [] }
  }
  expect(await consumerOf(stream, { handler }).runOnce()).toBe(4)
  expect(calls).toEqual([['1', '3', '2'], ['2'], ['2']])
  expect(pending).toEqual([4, 2, 2])
  expect(await pendingIn(redis, partition.keys.main)).toBe(0)
})

test('of a batch whose handler throws nothing is acknowledged, and all of it comes again', async () => {
  const stream = await open()
  const { redis, writer, partition, log } = stream
  await writer.publish(messages(rowIds(3)), 'main')
  const calls: (readonly string[])[] = []
  const pending: number[] = []
  const handler = async ({ ids }: Batch): Promise<void> => {
    calls.push(ids)
    pending.push(await pendingIn(redis, partition.keys.main))
    if (calls.length === 1) throw new Error('no connection to the database')
  }
  await consumerOf(stream, { handler }).runOnce()
  expect(calls).toEqual([rowIds(3), rowIds(3)])
  expect(pending).toEqual([3, 3])
  expect(await pendingIn(redis, partition.keys.main)).toBe(0)
  expect(log.filter(({ level }) => level === 'error')).toMatchObject([
    { facts: { err: { message: 'no connection to the database' }, messages: 3 } },
  ])
})

test('a handler that throws before it returns a promise is treated alike', async () => {
  const stream = await open()
  await stream.writer.publish(messages(['1']), 'main')
  let calls = 0
  const handler = (): Promise<void> => {
    if (++calls === 1) throw new TypeError('not a function')
    return Promise.resolve()
  }
  expect(await consumerOf(stream, { handler }).runOnce()).toBe(1)
  expect(calls).toBe(2)
})

test('dead letters of the rows that the handler resolved are removed', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  await bury(
    redis,
    partition,
    ['1', '2'].map((id) => ({ id, type: 'document_failed', reason: 'x' })),
    '7',
    1_000,
  )
  await writer.publish(messages(['1', '2']), 'main')
  await consumerOf(stream, {
    handler: () => Promise.resolve({ resolved: [{ version: '8', ids: ['1'] }] }),
  }).runOnce()
  expect(await redis.hkeys(partition.keys.deadLetters)).toEqual(['2'])
})

test('an entry without a message is acknowledged and holds nobody up', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  await redis.xadd(partition.keys.main, '*', 'written', 'by hand')
  await writer.publish(messages(['1']), 'main')
  const seen: string[] = []
  const handler = ({ ids }: Batch): Promise<void> => Promise.resolve(void seen.push(...ids))
  const consumer = consumerOf(stream, { handler, batchSize: 1 })
  await consumer.runOnce()
  await consumer.runOnce()
  expect(seen).toEqual(['1'])
  expect(await pendingIn(redis, partition.keys.main)).toBe(0)
})

test('several Consumers may run at once: each message goes to one of them', async () => {
  const stream = await open()
  const { redis, writer, partitions, partition, url, logger } = stream
  const seen: string[][] = [[], [], []]
  const running = seen.map((own) =>
    start(
      consumerOf(stream, {
        connections: openConnections(url, logger),
        batchSize: 10,
        handler: ({ ids }) => Promise.resolve(void own.push(...ids)),
      }),
    ),
  )
  for (let first = 1; first <= 2_000; first += 50) await writer.publish(messages(rowIds(50, first)), 'main')
  await eventually(async () => expect(await isDrained(redis, partitions)).toBe(true))
  await Promise.all(running.map((one) => one.stop()))
  expect(
    seen
      .flat()
      .map(Number)
      .sort((a, b) => a - b),
  ).toEqual(rowIds(2_000).map(Number))
  expect(await membersOf(stream)).toEqual([])
  expect(await pendingIn(redis, partition.keys.main)).toBe(0)
})

test('no Consumer starves: while one works, the other gets what comes', async () => {
  const stream = await open()
  const seen: string[][] = [[], []]
  const both = gate()
  for (const own of seen) {
    const handler = async ({ ids }: Batch): Promise<void> => {
      own.push(...ids)
      if (seen.every((one) => one.length > 0)) both.open()
      await both.passed
    }
    start(consumerOf(stream, { handler, batchSize: 1, concurrency: 1 }))
  }
  await alive(stream, 2)
  await stream.writer.publish(messages(['1', '2']), 'main')
  await both.passed
  expect(seen.flat().sort()).toEqual(['1', '2'])
})

test('groups are independent: each gets every message, and one that fails does not hold up another', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  const seen: string[] = []
  start(consumerOf(stream, { group: 'broken', handler: () => Promise.reject(new Error('always')) }))
  start(consumerOf(stream, { group: 'cache', handler: ({ ids }) => Promise.resolve(void seen.push(...ids)) }))
  await writer.publish(messages(rowIds(20)), 'main')
  await eventually(() => expect([...seen].sort()).toEqual(rowIds(20).sort()))
  await eventually(async () => expect(await pendingIn(redis, partition.keys.main, 'cache')).toBe(0))
  expect(await pendingIn(redis, partition.keys.main, 'broken')).toBeGreaterThan(0)
})

test('a group that is made later gets everything that is still in the stream', async () => {
  const stream = await open()
  await stream.writer.publish(messages(rowIds(10)), 'main')
  const seen: string[] = []
  const handler = ({ ids }: Batch): Promise<void> => Promise.resolve(void seen.push(...ids))
  await consumerOf(stream, { group: 'late', handler }).runOnce()
  expect(seen).toEqual(rowIds(10))
})

test('no more batches are read than may be in flight', async () => {
  const stream = await open()
  const { redis, writer, partition, partitions } = stream
  await writer.publish(messages(rowIds(200)), 'main')
  const release = gate()
  let working = 0
  let most = 0
  const handler = async (): Promise<void> => {
    most = Math.max(most, ++working)
    await release.passed
    working--
  }
  const running = start(consumerOf(stream, { handler, batchSize: 10, concurrency: 3 }))
  await eventually(() => expect(working).toBe(3))
  // Another member gets the rest at once: nothing is hoarded.
  const others: string[] = []
  start(consumerOf(stream, { handler: ({ ids }) => Promise.resolve(void others.push(...ids)) }))
  await eventually(() => expect(others).toHaveLength(170))
  expect(await pendingIn(redis, partition.keys.main)).toBe(30)
  release.open()
  await eventually(async () => expect(await isDrained(redis, partitions)).toBe(true))
  await running.stop()
  expect(most).toBe(3)
})

test('the main lane comes before the bulk lane, which gets its share all the same', async () => {
  const stream = await open()
  const { writer } = stream
  await writer.publish(messages(rowIds(40)), 'bulk')
  await writer.publish(messages(rowIds(40, 101)), 'main')
  const lanes: string[] = []
  const all = gate()
  const handler = ({ lane }: Batch): Promise<void> => {
    lanes.push(lane)
    if (lanes.length === 80) all.open()
    return Promise.resolve()
  }
  const running = start(consumerOf(stream, { handler, batchSize: 1, concurrency: 1 }))
  await all.passed
  await running.stop()
  const whileBoth = lanes.slice(0, lanes.lastIndexOf('main') + 1)
  // Every eighth turn: 40 of main lie between at most 6 of bulk.
  expect(whileBoth.filter((lane) => lane === 'bulk').length).toBeGreaterThanOrEqual(4)
  expect(whileBoth.filter((lane) => lane === 'bulk').length).toBeLessThanOrEqual(6)
  expect(lanes.slice(whileBoth.length)).toEqual(Array(80 - whileBoth.length).fill('bulk'))
})

test('a message that arrives while the Consumer waits is handled, in either lane', async () => {
  const stream = await open()
  const seen: string[] = []
  start(
    consumerOf(stream, {
      handler: ({ lane, ids }) => Promise.resolve(void seen.push(`${lane} ${ids.join()}`)),
    }),
  )
  await alive(stream, 1)
  await stream.writer.publish(messages(['1']), 'bulk')
  await eventually(() => expect(seen).toEqual(['bulk 1']))
  await stream.writer.publish(messages(['2']), 'main')
  await eventually(() => expect(seen).toEqual(['bulk 1', 'main 2']))
})

test('large batches of the bulk lane do not take the place that is kept for the main lane', async () => {
  const stream = await open()
  const { writer } = stream
  await writer.publish(messages(rowIds(10)), 'bulk')
  const bulk = gate()
  const seen: string[] = []
  const handler = async ({ lane, ids }: Batch): Promise<void> => {
    seen.push(`${lane} ${ids.join()}`)
    if (lane === 'bulk') await bulk.passed
  }
  start(consumerOf(stream, { handler, batchSize: 1, concurrency: 3 }))
  await eventually(() => expect(seen).toEqual(['bulk 1', 'bulk 2']))
  await writer.publish(messages(['11', '12']), 'main')
  await eventually(() => expect(seen).toEqual(['bulk 1', 'bulk 2', 'main 11', 'main 12']))
  bulk.open()
  await eventually(() => expect(seen).toHaveLength(12))
})

test('a batch that is tried again and again makes no progress meanwhile', async () => {
  const stream = await open()
  await stream.writer.publish(messages(['1']), 'main')
  const lastProgress: number[] = []
  const handler = ({ ids }: Batch): Promise<{ retry: readonly string[] }> => {
    lastProgress.push(performance.now() - consumer.progress.report().progressMs)
    return Promise.resolve({ retry: lastProgress.length < 4 ? ids : [] })
  }
  // With its only place taken, the loop rests.
  const consumer = consumerOf(stream, { handler, concurrency: 1 })
  const running = start(consumer)
  await eventually(() => expect(lastProgress).toHaveLength(4))
  await running.stop()
  const [, first, ...later] = lastProgress
  for (const at of later) expect(at - first!).toBeLessThan(1)
})
