import { expect, test } from 'vitest'

import { Delayer, type DelayerOptions } from '../../src/streams/delayer.ts'
import { workerStatus } from '../../src/streams/inspect.ts'
import { encodeMessage } from '../../src/streams/message.ts'
import {
  entriesIn,
  eventually,
  idsIn,
  messages,
  openConnections,
  redisNow,
  rowIds,
  start,
  useStreams,
  type TestStream,
} from '../support/streams.ts'

const open = useStreams()

function delayerOf(stream: TestStream, delayMs: number, choices: Partial<DelayerOptions> = {}): Delayer {
  const { redis, namespace, partitions, logger } = stream
  return new Delayer({ redis, namespace, partitions, delayMs, logger, ...choices })
}

/** Writes delay messages that are `ageMs` old. */
async function delayed(stream: TestStream, ids: readonly string[], ageMs: number): Promise<void> {
  const { redis, partition } = stream
  const at = (await redisNow(redis)) - ageMs
  await redis.xadd(partition.keys.delay, `${at}-0`, ...messages(ids).flatMap(encodeMessage))
}

test('runOnce copies expired messages to the main stream, payload and all', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  await writer.delay([{ id: '1', payload: '{"value":"message"}' }])
  expect(await delayerOf(stream, 0).runOnce()).toBe(1)
  expect((await entriesIn(redis, partition.keys.main)).map(({ fields }) => fields)).toEqual([
    ['id', '1', 'payload', '{"value":"message"}'],
  ])
  expect(await redis.xlen(partition.keys.delay)).toBe(0)
  expect(await redis.exists(partition.keys.bulk)).toBe(0)
})

test('runOnce does not copy messages that have not expired yet', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  await delayed(stream, ['1', '2'], 60_000)
  await delayed(stream, ['3'], 10_000)
  await writer.delay(messages(['4']))
  expect(await delayerOf(stream, 30_000).runOnce()).toBe(2)
  expect(await idsIn(redis, partition.keys.main)).toEqual(['1', '2'])
  expect(await idsIn(redis, partition.keys.delay)).toEqual(['3', '4'])
  expect(await delayerOf(stream, 30_000).runOnce()).toBe(0)
})

test('runOnce serves all partitions, and more messages than one script call moves', async () => {
  const stream = await open({ partitions: 3 })
  const { redis, writer, partitions } = stream
  await writer.delay(messages(rowIds(16_000)))
  expect(await delayerOf(stream, 0).runOnce()).toBe(16_000)
  const moved = await Promise.all(partitions.map(({ keys }) => idsIn(redis, keys.main)))
  expect(moved.every((ids) => ids.length > 5_000)).toBe(true)
  expect(
    moved
      .flat()
      .map(Number)
      .sort((a, b) => a - b),
  ).toEqual(rowIds(16_000).map(Number))
})

test('several Delayers may run at once: each message is moved exactly once', async () => {
  const stream = await open({ partitions: 2 })
  const { redis, writer, partitions, url, logger } = stream
  for (let first = 1; first <= 3_000; first += 30) await writer.delay(messages(rowIds(30, first)))
  const delayers = [1, 2, 3].map(() => delayerOf(stream, 0, { redis: openConnections(url, logger).commands }))
  const moved = await Promise.all(delayers.map((delayer) => delayer.runOnce()))
  expect(moved.reduce((sum, one) => sum + one, 0)).toBe(3_000)
  const ids = (await Promise.all(partitions.map(({ keys }) => idsIn(redis, keys.main)))).flat()
  expect(ids.map(Number).sort((a, b) => a - b)).toEqual(rowIds(3_000).map(Number))
})

test('a publish and a Delayer at once: each message is in the main stream, once or twice', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  const entries = await Promise.all(rowIds(100).map((id) => writer.delay(messages([id]))))
  await Promise.all([
    ...entries.map((entry, index) => writer.publish(messages([index + 1]), 'main', entry)),
    delayerOf(stream, 0).runOnce(),
  ])
  expect(new Set(await idsIn(redis, partition.keys.main))).toEqual(new Set(rowIds(100)))
  expect(await redis.xlen(partition.keys.delay)).toBe(0)
})

test('run delivers what is due before it falls asleep, and the rest not before its time', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  const { main } = partition.keys
  await delayed(stream, ['due'], 60_000)
  const [young] = await writer.delay(messages(['young']))
  const running = start(delayerOf(stream, 300))
  await eventually(async () => expect(await idsIn(redis, main)).toEqual(['due', 'young']))
  const moved = (await entriesIn(redis, main)).at(-1)
  const ms = (id: string): number => Number(id.split('-')[0])
  expect(ms(moved!.id) - ms(young!.id)).toBeGreaterThanOrEqual(300)
  expect(await workerStatus(redis, stream.namespace)).toMatchObject([{ kind: 'delayer', pid: process.pid }])
  await running.stop()
  expect(await workerStatus(redis, stream.namespace)).toEqual([])
})

test('run goes on after an error', async () => {
  const stream = await open()
  const { redis, partition, log } = stream
  const { main, delay } = partition.keys
  await redis.set(main, 'not a stream')
  await delayed(stream, ['1'], 60_000)
  start(delayerOf(stream, 1_000))
  await eventually(() => expect(log.filter(({ level }) => level === 'error').length).toBeGreaterThan(1))
  expect(await redis.xlen(delay)).toBe(1)
  await redis.del(main)
  await eventually(async () => expect(await idsIn(redis, main)).toEqual(['1']))
})
