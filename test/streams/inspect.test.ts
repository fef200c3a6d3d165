import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { createGroup } from '../../src/streams/group-member.ts'
import { inspectPartition, isDrained, streamStatus, workerStatus } from '../../src/streams/inspect.ts'
import { readGroups, readMembers, readShortestIdleMs } from '../../src/streams/replies.ts'
import { Trimmer } from '../../src/streams/trimmer.ts'
import {
  beatAs,
  entriesIn,
  messages,
  readAs,
  redisNow,
  rowIds,
  useStreams,
  type TestStream,
} from '../support/streams.ts'

const open = useStreams()

async function acknowledge({ redis, partition }: TestStream, group: string, count: number): Promise<void> {
  const { main } = partition.keys
  const entries = await entriesIn(redis, main)
  const ids = entries.slice(0, count).map(({ id }) => id)
  if (ids.length > 0) await redis.xack(main, group, ...ids)
}

test('a stream that does not exist is empty, and drained', async () => {
  const { redis, partitions, partition } = await open({ partitions: 2 })
  const empty = { length: 0, undelivered: 0, pending: 0, lagMs: 0 }
  expect(await streamStatus(redis, partitions)).toEqual({
    name: 'cities',
    main: empty,
    bulk: empty,
    delay: { length: 0, oldestMs: 0 },
    deadLetters: 0,
    unservedGroups: [],
  })
  expect(await inspectPartition(redis, partition)).toEqual({
    partition: 0,
    main: { length: 0, lastId: null, groups: [] },
    bulk: { length: 0, lastId: null, groups: [] },
  })
  expect(await isDrained(redis, partitions)).toBe(true)
  expect(await redis.exists(...partitions.flatMap(({ keys }) => Object.values(keys)))).toBe(0)
})

test('a group that was given up since the groups were listed has no members', async () => {
  const { redis, partition } = await open()
  const { main } = partition.keys
  await redis.xadd(main, '*', 'id', '1')
  expect(await readMembers(redis, main, 'gone')).toEqual(new Map())
  expect(await readShortestIdleMs(redis, main, 'gone')).toBeUndefined()
})

test('inspect tells the size of a stream, its newest id, and how far each group is', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  await writer.publish(messages(rowIds(5)), 'main')
  await writer.publish(messages(rowIds(2)), 'bulk')
  const entries = await entriesIn(redis, partition.keys.main)
  await createGroup(redis, partition, 'cache')
  await readAs(stream, 'm', 3)
  await acknowledge(stream, 'index', 1)
  const { main, bulk } = await inspectPartition(redis, partition)
  expect(main).toEqual({
    length: 5,
    lastId: entries[4]!.id,
    groups: [
      { name: 'cache', lastDeliveredId: '0-0', pending: 0, undelivered: 5 },
      { name: 'index', lastDeliveredId: entries[2]!.id, pending: 2, undelivered: 2 },
    ],
  })
  expect(bulk).toMatchObject({ length: 2, groups: [{ undelivered: 2 }, { undelivered: 2 }] })
})

test('status: the numbers are those of the slowest group, summed over the partitions', async () => {
  const stream = await open({ partitions: 2 })
  const { redis, writer, partitions } = stream
  await writer.publish(messages(rowIds(100)), 'main')
  await writer.delay(messages(rowIds(30)))
  const lengths = await Promise.all(partitions.map(({ keys }) => redis.xlen(keys.main)))
  for (const partition of partitions) {
    await readAs({ ...stream, partition }, 'm', 10, 'main', 'index')
    await readAs({ ...stream, partition }, 'm', 20, 'main', 'cache')
    await redis.hset(partition.keys.deadLetters, '1', '{}')
  }
  const status = await streamStatus(redis, partitions)
  expect(lengths.reduce((sum, one) => sum + one)).toBe(100)
  expect(status.main).toMatchObject({ length: 100, undelivered: 80, pending: 60 })
  expect(status.deadLetters).toBe(2)
  expect(status.delay.length).toBe(2)
})

test('status: the lag is the age of the oldest entry that some group is not done with', async () => {
  const stream = await open()
  const { redis, partition, partitions } = stream
  const { main, delay } = partition.keys
  const now = await redisNow(redis)
  for (const age of [50_000, 40_000, 30_000]) await redis.xadd(main, `${now - age}-0`, 'id', `${age}`)
  await redis.xadd(delay, `${now - 20_000}-0`, 'id', '1')
  const lag = async (): Promise<number> => (await streamStatus(redis, partitions)).main.lagMs
  const between = (ms: number, from: number): void => {
    expect(ms).toBeGreaterThanOrEqual(from)
    expect(ms).toBeLessThan(from + 9_000)
  }
  between(await lag(), 50_000)
  await readAs(stream, 'm', 2)
  between(await lag(), 50_000)
  await acknowledge(stream, 'index', 1)
  between(await lag(), 40_000)
  await acknowledge(stream, 'index', 2)
  between(await lag(), 30_000)
  await createGroup(redis, partition, 'cache')
  between(await lag(), 50_000)
  for (const group of ['index', 'cache']) {
    await readAs(stream, 'm', 10, 'main', group)
    await acknowledge(stream, group, 3)
  }
  expect(await lag()).toBe(0)
  between((await streamStatus(redis, partitions)).delay.oldestMs, 20_000)
})

test('without a group everything is undelivered', async () => {
  const { redis, writer, partitions } = await open()
  await writer.publish(messages(rowIds(7)), 'bulk')
  expect((await streamStatus(redis, partitions)).bulk).toMatchObject({
    length: 7,
    undelivered: 7,
    pending: 0,
  })
  expect(await isDrained(redis, partitions)).toBe(false)
})

test('drained is what every group of every lane and partition has read and acknowledged', async () => {
  const stream = await open({ partitions: 2 })
  const { redis, writer, partitions } = stream
  for (const partition of partitions) {
    await createGroup(redis, partition, 'index')
    await createGroup(redis, partition, 'cache')
  }
  expect(await isDrained(redis, partitions)).toBe(true)
  // Delay messages do not count: they stand for transactions that are open.
  await writer.delay(messages(rowIds(3)))
  expect(await isDrained(redis, partitions)).toBe(true)
  for (const lane of ['main', 'bulk'] as const) {
    // "3" belongs to the second of two partitions.
    await writer.publish(messages(['3']), lane)
    const last = { ...stream, partition: partitions[1]! }
    for (const group of ['index', 'cache']) {
      expect(await isDrained(redis, partitions)).toBe(false)
      await readAs(last, 'm', 1, lane, group)
      expect(await isDrained(redis, partitions)).toBe(false)
      const key = last.partition.keys[lane]
      await redis.xack(key, group, ...(await entriesIn(redis, key)).map(({ id }) => id))
    }
    expect(await isDrained(redis, partitions)).toBe(true)
  }
})

test('workers are listed with kind, host, process and age', async () => {
  const stream = await open()
  await beatAs(stream, 'one')
  const [worker] = await workerStatus(stream.redis, stream.namespace)
  expect(worker).toMatchObject({ kind: 'consumer', host: 'elsewhere', pid: 1 })
  expect(worker!.seenMs).toBeLessThan(60_000)
  expect(worker!.seenMs).toBeGreaterThanOrEqual(0)
})

const step = fc.oneof(
  fc.record({ do: fc.constant('add' as const), count: fc.integer({ min: 1, max: 12 }) }),
  fc.record({
    do: fc.constant('read' as const),
    group: fc.constantFrom('a', 'b'),
    count: fc.integer({ min: 1, max: 12 }),
  }),
  fc.record({
    do: fc.constant('acknowledge' as const),
    group: fc.constantFrom('a', 'b'),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  fc.record({ do: fc.constant('trim' as const) }),
  fc.record({ do: fc.constant('join' as const), group: fc.constantFrom('a', 'b', 'late') }),
)
const removal = fc.record({ do: fc.constant('remove' as const), position: fc.nat() })
const size = { minLength: 5, maxLength: 25 }
const histories = fc.oneof(fc.array(step, size), fc.array(fc.oneof(step, removal), size))

test('undelivered counts what a group will still be given, whatever was read, acknowledged and trimmed before', async () => {
  await fc.assert(
    fc.asyncProperty(histories, async (steps) => {
      const stream = await open()
      const { redis, writer, partition, partitions, namespace, logger } = stream
      const { main } = partition.keys
      const trimmer = new Trimmer({
        redis,
        namespace,
        partitions,
        groups: [],
        retentionMs: 0,
        intervalMs: 1,
        logger,
      })
      await createGroup(redis, partition, 'a')
      await createGroup(redis, partition, 'b')
      for (const one of steps) {
        if (one.do === 'add') await writer.publish(messages(rowIds(one.count)), 'main')
        else if (one.do === 'read') await readAs(stream, 'm', one.count, 'main', one.group)
        else if (one.do === 'join') await createGroup(redis, partition, one.group)
        else if (one.do === 'trim') await trimmer.runOnce()
        else {
          const entries = await entriesIn(redis, main)
          if (entries.length === 0) continue
          if (one.do === 'remove') await redis.xdel(main, entries[one.position % entries.length]!.id)
          else await acknowledge(stream, one.group, Math.ceil(entries.length * one.share))
        }
      }
      const inspected = (await inspectPartition(redis, partition)).main
      const groups = await readGroups(redis, main)
      for (const { name, undelivered } of inspected.groups) {
        const { lastDelivered } = groups.find((group) => group.name === name)!
        const waiting = await redis.xrange(main, `(${lastDelivered}`, '+')
        // Of entries that were deleted by hand Redis knows only roughly how many are left; it knows when none is.
        if (steps.some((one) => one.do === 'remove')) expect(undelivered > 0).toBe(waiting.length > 0)
        else expect([name, undelivered]).toEqual([name, waiting.length])
      }
      stream.connections.commands.disconnect()
    }),
    { numRuns: 40 },
  )
})
