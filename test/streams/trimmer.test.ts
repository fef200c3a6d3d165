import { expect, test } from 'vitest'

import { createGroup } from '../../src/streams/group-member.ts'
import { workerStatus } from '../../src/streams/inspect.ts'
import { encodeMessage } from '../../src/streams/message.ts'
import { Trimmer, type TrimmerOptions } from '../../src/streams/trimmer.ts'
import {
  entriesIn,
  eventually,
  idsIn,
  messages,
  openConnections,
  readAs,
  redisNow,
  rowIds,
  start,
  useStreams,
  type TestStream,
} from '../support/streams.ts'

const open = useStreams()

function trimmerOf(stream: TestStream, choices: Partial<TrimmerOptions> = {}): Trimmer {
  const { redis, namespace, partitions, logger } = stream
  return new Trimmer({
    redis,
    namespace,
    partitions,
    logger,
    groups: ['index'],
    retentionMs: 0,
    intervalMs: 20,
    ...choices,
  })
}

/** Acknowledges the entries of the rows, or all that the group has. */
async function acknowledge(stream: TestStream, group: string, rows?: readonly string[]): Promise<void> {
  const { main } = stream.partition.keys
  const entries = await entriesIn(stream.redis, main)
  const ids = entries.filter(({ fields }) => rows?.includes(fields[1]!) ?? true).map(({ id }) => id)
  if (ids.length > 0) await stream.redis.xack(main, group, ...ids)
}

/** A group that has done the first `count` entries. */
async function done(stream: TestStream, group: string, count: number): Promise<void> {
  await readAs(stream, 'm', count, 'main', group)
  await acknowledge(stream, group)
}

test('trims a stream to the minimum that all groups have done', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  await writer.publish(messages(rowIds(4)), 'main')
  await done(stream, 'index', 2)
  await done(stream, 'cache', 3)
  const result = await trimmerOf(stream).runOnce()
  expect(result).toEqual({
    trimmed: 2,
    heldBackBy: expect.objectContaining({ [partition.keys.main]: 'index' }) as object,
  })
  expect(await idsIn(redis, partition.keys.main)).toEqual(['3', '4'])
})

test('keeps what is given out and not acknowledged, and everything after it', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  await writer.publish(messages(rowIds(10)), 'main')
  await readAs(stream, 'm', 10, 'main', 'index')
  await done(stream, 'cache', 10)
  await acknowledge(stream, 'index', ['1', '2', '3', '5', '8'])
  expect((await trimmerOf(stream).runOnce()).trimmed).toBe(3)
  expect(await idsIn(redis, partition.keys.main)).toEqual(['4', '5', '6', '7', '8', '9', '10'])
})

test('a new group that has read nothing holds everything: 0 of 100 are trimmed', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  await writer.publish(messages(rowIds(100)), 'main')
  await done(stream, 'index', 100)
  await createGroup(redis, partition, 'new')
  const { trimmed, heldBackBy } = await trimmerOf(stream).runOnce()
  expect(trimmed).toBe(0)
  expect(heldBackBy[partition.keys.main]).toBe('new')
  expect(await redis.xlen(partition.keys.main)).toBe(100)
})

test('a group that is expected and not made yet holds everything, and is named', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  await writer.publish(messages(rowIds(100)), 'main')
  await done(stream, 'index', 100)
  const { trimmed, heldBackBy } = await trimmerOf(stream, { groups: ['index', 'cascade'] }).runOnce()
  expect(trimmed).toBe(0)
  expect(heldBackBy[partition.keys.main]).toBe('cascade')
  expect(await redis.xlen(partition.keys.main)).toBe(100)
})

test('ids are compared as numbers: "9-0" is before "10-0"', async () => {
  const stream = await open()
  const { redis, partition } = stream
  const { main } = partition.keys
  for (const id of ['8-0', '9-0', '10-0', '10-11']) await redis.xadd(main, id, ...encodeMessage({ id }))
  await done(stream, 'index', 3)
  await done(stream, 'cache', 2)
  expect((await trimmerOf(stream).runOnce()).trimmed).toBe(2)
  expect(await idsIn(redis, main)).toEqual(['10-0', '10-11'])
})

test('trims everything when every group is done, and the groups go on with what comes then', async () => {
  const stream = await open({ partitions: 2 })
  const { redis, writer, partitions } = stream
  const trimmer = trimmerOf(stream)
  for (const lane of ['main', 'bulk'] as const) {
    await writer.publish(messages(rowIds(50)), lane)
    for (const partition of partitions) {
      await readAs({ ...stream, partition }, 'm', 100, lane)
      const key = partition.keys[lane]
      await redis.xack(key, 'index', ...(await entriesIn(redis, key)).map(({ id }) => id))
    }
  }
  expect((await trimmer.runOnce()).trimmed).toBe(100)
  for (const { keys } of partitions) {
    expect(await redis.xlen(keys.main)).toBe(0)
    expect(await redis.xlen(keys.bulk)).toBe(0)
  }
  await writer.publish(messages(['51']), 'main')
  expect((await trimmer.runOnce()).trimmed).toBe(0)
  const left = await Promise.all(partitions.map(({ keys }) => idsIn(redis, keys.main)))
  expect(left.flat()).toEqual(['51'])
})

test('retention keeps what is younger, also when every group is done with it', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  const { main } = partition.keys
  const now = await redisNow(redis)
  for (const age of [90_000, 70_000, 40_000]) await redis.xadd(main, `${now - age}-0`, 'id', `${age}`)
  await writer.publish(messages(['now']), 'main')
  await done(stream, 'index', 10)
  expect((await trimmerOf(stream, { retentionMs: 60_000 }).runOnce()).trimmed).toBe(2)
  expect(await idsIn(redis, main)).toEqual(['40000', 'now'])
  expect((await trimmerOf(stream, { retentionMs: 1e15 }).runOnce()).trimmed).toBe(0)
  expect((await trimmerOf(stream).runOnce()).trimmed).toBe(2)
})

test('there is nothing to trim in a stream that nobody has written to', async () => {
  const stream = await open()
  expect((await trimmerOf(stream).runOnce()).trimmed).toBe(0)
  expect(await trimmerOf(stream, { groups: [] }).runOnce()).toEqual({ trimmed: 0, heldBackBy: {} })
})

test('several Trimmers may run at once, while groups read and acknowledge', async () => {
  const stream = await open()
  const { redis, writer, partition, url, logger } = stream
  const { main } = partition.keys
  await createGroup(redis, partition, 'index')
  await createGroup(redis, partition, 'cache')
  const stopping = new AbortController()
  const trimmers = [1, 2, 3].map(() => trimmerOf(stream, { redis: openConnections(url, logger).commands }))
  const passes = trimmers.map(async (trimmer) => {
    let trimmed = 0
    while (!stopping.signal.aborted) trimmed += (await trimmer.runOnce()).trimmed
    return trimmed
  })
  const read: Record<string, string[]> = { index: [], cache: [] }
  for (let first = 1; first <= 1_000; first += 10) {
    await writer.publish(messages(rowIds(10, first)), 'main')
    for (const group of ['index', 'cache']) {
      const client = redis
      const reply = (await client.xreadgroup('GROUP', group, 'm', 'COUNT', 7, 'STREAMS', main, '>')) as [
        string,
        [string, string[]][],
      ][]
      const entries = reply[0]![1]
      // One entry is acknowledged only after the Trimmers have seen it pending.
      read[group]!.push(...entries.map(([, fields]) => fields[1]!))
      await client.xack(main, group, ...entries.slice(1).map(([id]) => id))
      await client.xack(main, group, entries[0]![0])
    }
  }
  for (const group of ['index', 'cache']) {
    const reply = (await redis.xreadgroup('GROUP', group, 'm', 'STREAMS', main, '>')) as [
      string,
      [string, string[]][],
    ][]
    const entries = reply[0]![1]
    read[group]!.push(...entries.map(([, fields]) => fields[1]!))
    await redis.xack(main, group, ...entries.map(([id]) => id))
  }
  await eventually(async () => expect(await redis.xlen(main)).toBe(0))
  stopping.abort()
  const trimmed = await Promise.all(passes)
  expect(trimmed.reduce((sum, one) => sum + one, 0)).toBe(1_000)
  expect(read).toEqual({ index: rowIds(1_000), cache: rowIds(1_000) })
})

test('run trims again and again, and sleeps for its interval when there is nothing to trim', async () => {
  const stream = await open()
  const { redis, writer, partition, namespace } = stream
  const { main } = partition.keys
  await createGroup(redis, partition, 'index')
  const running = start(trimmerOf(stream))
  for (const first of [1, 11, 21]) {
    await writer.publish(messages(rowIds(10, first)), 'main')
    await done(stream, 'index', 10)
    await eventually(async () => expect(await redis.xlen(main)).toBe(0))
  }
  expect(await workerStatus(redis, namespace)).toMatchObject([{ kind: 'trimmer', pid: process.pid }])
  await running.stop()
  expect(await workerStatus(redis, namespace)).toEqual([])
})

test('run goes on after an error', async () => {
  const stream = await open()
  const { redis, writer, partition, log } = stream
  const { main } = partition.keys
  await redis.set(main, 'not a stream')
  start(trimmerOf(stream))
  await eventually(() => expect(log.filter(({ level }) => level === 'error').length).toBeGreaterThan(1))
  await redis.del(main)
  await writer.publish(messages(['1']), 'main')
  await done(stream, 'index', 1)
  await eventually(async () => expect(await redis.xlen(main)).toBe(0))
})
