import { expect, test } from 'vitest'

import { Events } from '../../src/runtime/events.ts'
import { Attendance } from '../../src/streams/attendance.ts'
import { createGroup } from '../../src/streams/group-member.ts'
import { streamStatus } from '../../src/streams/inspect.ts'
import { runScript } from '../../src/streams/scripts.ts'
import { Trimmer } from '../../src/streams/trimmer.ts'
import { isOverdue, isUnserved, sumOverPartitions, watchMs } from '../../src/streams/unserved-group.ts'
import {
  consumerOf,
  entriesIn,
  eventually,
  messages,
  readAs,
  redisNow,
  rowIds,
  start,
  useStreams,
  type TestStream,
} from '../support/streams.ts'

const open = useStreams()
const hour = 3_600_000

test('a group is unserved after a minute; one that nobody has looked at is not', () => {
  expect([undefined, 0, 59_999, 60_000].map((unservedMs) => isUnserved({ unservedMs }))).toEqual([
    false,
    false,
    false,
    true,
  ])
})

test.for([
  [hour, hour, hour, true],
  [hour, hour, 0, false],
  [hour - 1, hour, hour, false],
  // It has read everything up to a minute ago: it holds nothing that is old.
  [hour, 60_000, hour, false],
  [hour, 0, hour, false],
  [undefined, hour, hour, false],
] as const)(
  'unserved %s, waiting %s, limit %s: overdue %s',
  ([unservedMs, oldestWaitingMs, limit, overdue]) => {
    expect(isOverdue({ unservedMs, oldestWaitingMs }, limit)).toBe(overdue)
  },
)

test('a Trimmer watches for a minute before it drops a group', () => {
  expect(watchMs(hour)).toBe(60_000)
})

test('the partitions of a stream are summed up by group', () => {
  expect(
    sumOverPartitions([
      { group: 'cache', entries: 1, unservedMs: 70_000 },
      { group: 'feed', entries: 2, unservedMs: 80_000 },
      { group: 'cache', entries: 4, unservedMs: 90_000 },
    ]),
  ).toEqual([
    { group: 'cache', entries: 5, unservedMs: 90_000 },
    { group: 'feed', entries: 2, unservedMs: 80_000 },
  ])
})

/** Ten messages that have waited for an hour, and as many that came just now. */
async function fill({ redis, partition, writer }: TestStream): Promise<void> {
  const old = (await redisNow(redis)) - hour
  for (const id of rowIds(10)) await redis.xadd(partition.keys.main, `${old}-${id}`, 'id', id)
  await writer.publish(messages(rowIds(10, 11)), 'bulk')
}

async function noteServedAgo({ redis, partition }: TestStream, group: string, ms: number): Promise<void> {
  await redis.hset(partition.keys.groups, group, (await redisNow(redis)) - ms)
}

function trimmerOf(stream: TestStream, dropGroupAfterMs: number, events?: Events): Trimmer {
  const { redis, namespace, partitions, logger } = stream
  return new Trimmer({
    redis,
    namespace,
    partitions,
    logger,
    events,
    groups: ['index'],
    retentionMs: 0,
    intervalMs: 10,
    dropGroupAfterMs,
  })
}

async function groupsOf({ redis, partition }: TestStream): Promise<string[]> {
  const found = await Promise.all([
    redis.xinfo('GROUPS', partition.keys.main),
    redis.xinfo('GROUPS', partition.keys.bulk),
  ])
  return (found as unknown[][][]).flatMap((lane) => lane.map((group) => String(group[1]))).toSorted()
}

test('status names a group that nobody serves, with what waits for it, and never those of Redstream', async () => {
  const stream = await open()
  const { redis, partitions, partition } = stream
  await fill(stream)
  for (const group of ['index', 'cascade', 'cache']) await createGroup(redis, partition, group)
  await redis.xreadgroup('GROUP', 'cache', 'dead', 'COUNT', 3, 'STREAMS', partition.keys.bulk, '>')
  const found = async () => (await streamStatus(redis, partitions)).unservedGroups
  // Somebody read just now.
  expect(await found()).toEqual([])
  await redis.xgroup('DELCONSUMER', partition.keys.bulk, 'cache', 'dead')
  // Nobody knows since when.
  expect(await found()).toEqual([])
  for (const group of ['index', 'cascade', 'cache']) await noteServedAgo(stream, group, hour)
  const [cache, ...others] = await found()
  expect(others).toEqual([])
  // The member that was removed has taken three entries with it.
  expect(cache).toMatchObject({ group: 'cache', entries: 17 })
  expect(cache!.unservedMs).toBeGreaterThanOrEqual(hour)
  expect(cache!.unservedMs).toBeLessThan(hour + 60_000)
})

test('a group without members counts from the first look of a Trimmer', async () => {
  const stream = await open()
  const { redis, partition } = stream
  await fill(stream)
  await createGroup(redis, partition, 'cache')
  const before = await redisNow(redis)
  await trimmerOf(stream, 0).runOnce()
  const noted = await redis.hgetall(partition.keys.groups)
  expect(Object.keys(noted)).toEqual(['cache'])
  expect(Number(noted['cache'])).toBeGreaterThanOrEqual(before)
  await trimmerOf(stream, 0).runOnce()
  expect(await redis.hgetall(partition.keys.groups)).toEqual(noted)
})

test('what members of other programs read is noted by the Trimmer', async () => {
  const stream = await open()
  const { redis, partition } = stream
  await fill(stream)
  await noteServedAgo(stream, 'cache', hour)
  await readAs(stream, 'elsewhere', 5, 'main', 'cache')
  await trimmerOf(stream, 0).runOnce()
  const noted = Number(await redis.hget(partition.keys.groups, 'cache'))
  expect((await redisNow(redis)) - noted).toBeLessThan(60_000)
})

test('notes about groups that somebody removed are forgotten', async () => {
  const stream = await open()
  await noteServedAgo(stream, 'gone', hour)
  await trimmerOf(stream, 0).runOnce()
  expect(await stream.redis.exists(stream.partition.keys.groups)).toBe(0)
})

test('a group that nobody serves is dropped at the limit, loudly, and the stream is trimmed then', async () => {
  const stream = await open()
  const { redis, partition, log, logger } = stream
  await fill(stream)
  for (const group of ['index', 'cascade']) {
    await readAs(stream, 'm', 10, 'main', group)
    const ids = (await entriesIn(redis, partition.keys.main)).map(({ id }) => id)
    await redis.xack(partition.keys.main, group, ...ids)
    await noteServedAgo(stream, group, hour)
  }
  await createGroup(redis, partition, 'cache')
  await noteServedAgo(stream, 'cache', hour)
  const events = new Events(logger)
  const told: unknown[] = []
  events.on('groupDropped', (facts) => told.push(facts))
  start(trimmerOf(stream, 20, events))
  await eventually(async () => expect(await redis.xlen(partition.keys.main)).toBe(0))
  expect(await groupsOf(stream)).toEqual(['cascade', 'cascade', 'index', 'index'])
  expect(told).toEqual([{ stream: 'cities', partition: 0, group: 'cache' }])
  expect(log.filter(({ level }) => level === 'error')).toEqual([
    expect.objectContaining({
      facts: { stream: 'cities', partition: 0, group: 'cache', unservedFor: '1 h 0 m', waitedFor: '1 h 0 m' },
      message: expect.stringContaining('dropped a consumer group') as string,
    }),
  ])
  expect(await redis.hexists(partition.keys.groups, 'cache')).toBe(0)
})

test.for([
  { what: 'without the setting', limit: 0 },
  { what: 'before a Trimmer has watched it for a minute', limit: hour / 2 },
])('it is not dropped $what', async ({ limit }) => {
  const stream = await open()
  const { redis, partition } = stream
  await fill(stream)
  await createGroup(redis, partition, 'cache')
  await noteServedAgo(stream, 'cache', hour)
  const trimmer = trimmerOf(stream, limit)
  for (let pass = 0; pass < 3; pass++) await trimmer.runOnce()
  expect(await groupsOf(stream)).toEqual(['cache', 'cache'])
})

test('a group is served while its consumer lives, also when all its batches wait and it reads nothing', async () => {
  const stream = await open()
  const { redis, partition, log, logger } = stream
  await fill(stream)
  await createGroup(redis, partition, 'cache')
  await noteServedAgo(stream, 'cache', hour)
  const attendance = new Attendance(redis, partition, 'cache', logger)
  await attendance.start()
  const finish = Promise.withResolvers<void>()
  const consumer = consumerOf(stream, { group: 'cache', handler: () => finish.promise })
  const running = start(consumer)
  await eventually(async () =>
    expect(Number((await redis.xpending(partition.keys.bulk, 'cache'))[0])).toBeGreaterThan(0),
  )
  // As if the members had read for the last time an hour ago: the note alone tells that they live.
  for (const dropAfterMs of [5_000, hour]) {
    const keys = [partition.keys.main, partition.keys.bulk, partition.keys.groups]
    expect(await runScript(redis, 'drop', keys, ['cache', dropAfterMs])).toBe(0)
  }
  expect((await streamStatus(redis, [partition])).unservedGroups).toEqual([])
  finish.resolve()
  await running.stop()
  await attendance.stop()
  expect(log.filter(({ level }) => level === 'error')).toEqual([])
})

test('a member that joins between the look and the drop keeps its group', async () => {
  const stream = await open()
  const { redis, partition, logger } = stream
  await fill(stream)
  await createGroup(redis, partition, 'cache')
  const { main, bulk, groups } = partition.keys
  const drop = () => runScript(redis, 'drop', [main, bulk, groups], ['cache', hour / 2])
  // Nobody knows.
  expect(await drop()).toBe(0)
  // A consumer of Redstream.
  await noteServedAgo(stream, 'cache', hour)
  const attendance = new Attendance(redis, partition, 'cache', logger)
  await attendance.start()
  await attendance.stop()
  expect(await drop()).toBe(0)
  // Another program.
  await noteServedAgo(stream, 'cache', hour)
  await readAs(stream, 'elsewhere', 1, 'bulk', 'cache')
  expect(await drop()).toBe(0)
  await redis.xgroup('DELCONSUMER', bulk, 'cache', 'elsewhere')
  expect(await drop()).toBe(1)
  expect(await groupsOf(stream)).toEqual([])
})

test('a group that is in one lane only, and a lane that does not exist, do not disturb', async () => {
  const stream = await open()
  const { redis, partition } = stream
  const { main, bulk, groups } = partition.keys
  await redis.xadd(main, `${(await redisNow(redis)) - hour}-0`, 'id', '1')
  await redis.xgroup('CREATE', main, 'cache', '0')
  await noteServedAgo(stream, 'cache', hour)
  expect((await streamStatus(redis, [partition])).unservedGroups).toMatchObject([
    { group: 'cache', entries: 1 },
  ])
  expect(await runScript(redis, 'drop', [main, bulk, groups], ['cache', hour])).toBe(1)
  expect(await redis.exists(bulk)).toBe(0)
})

test('a served time never goes back', async () => {
  const { redis, partition } = await open()
  const { groups } = partition.keys
  await runScript(redis, 'serve', [groups], ['cache', 0])
  const noted = await redis.hget(groups, 'cache')
  await runScript(redis, 'serve', [groups], ['cache', 5_000])
  expect(await redis.hget(groups, 'cache')).toBe(noted)
})
