import { expect, test } from 'vitest'

import { createGroup } from '../../src/streams/group-member.ts'
import type { Lane } from '../../src/streams/keys.ts'
import type { Message } from '../../src/streams/message.ts'
import { idsIn, readAs, rowIds, useStreams, type TestStream } from '../support/streams.ts'

const open = useStreams()

const derived = (ids: readonly string[]): Message[] => ids.map((id) => ({ id, derived: true }))
const queue = ({ writer }: TestStream, ids: readonly string[], lane: Lane = 'bulk'): Promise<void> =>
  writer.queue(derived(ids), lane, 'cascade')

test('owners that wait already are not queued again, in each lane and partition', async () => {
  const stream = await open({ partitions: 2 })
  const { redis, partitions } = stream
  for (const lane of ['main', 'bulk'] as const) {
    await queue(stream, rowIds(50), lane)
    await queue(stream, rowIds(60), lane)
    const ids = await Promise.all(partitions.map(({ keys }) => idsIn(redis, keys[lane])))
    expect(ids.flat().toSorted()).toEqual(rowIds(60).toSorted())
  }
})

test('what a group has read is queued again, what none has read is not', async () => {
  const stream = await open()
  const { redis, partition } = stream
  const { bulk } = partition.keys
  await createGroup(redis, partition, 'index')
  await createGroup(redis, partition, 'slow')
  await queue(stream, ['1', '2', '3'])
  await readAs(stream, 'somebody', 2, 'bulk')
  await queue(stream, ['1', '2', '3'])
  expect(await idsIn(redis, bulk)).toEqual(['1', '2', '3', '1', '2'])
})

test('that the group "cascade" has read it means nothing: it has no use for it', async () => {
  const stream = await open()
  const { redis, partition } = stream
  await createGroup(redis, partition, 'cascade')
  await queue(stream, ['1'])
  await readAs(stream, 'somebody', 1, 'bulk', 'cascade')
  await queue(stream, ['1'])
  expect(await idsIn(redis, partition.keys.bulk)).toEqual(['1'])
})

test('an entry that was deleted by hand is no reason to leave its row out', async () => {
  const stream = await open()
  const { redis, partition } = stream
  const { bulk } = partition.keys
  await queue(stream, ['1', '2'])
  await redis.xtrim(bulk, 'MAXLEN', 1)
  await queue(stream, ['1', '2'])
  expect(await idsIn(redis, bulk)).toEqual(['2', '1'])
  await redis.del(bulk)
  await queue(stream, ['1', '2'])
  expect(await idsIn(redis, bulk)).toEqual(['1', '2'])
})

test('what is remembered is bounded, and goes after a while', async () => {
  const stream = await open()
  const { redis, partition } = stream
  const { bulkWaiting } = partition.keys
  await queue(stream, ['1'])
  expect(await redis.pttl(bulkWaiting)).toBeGreaterThan(0)
  await queue(stream, rowIds(105_000))
  expect(await redis.hlen(bulkWaiting)).toBeLessThanOrEqual(100_000)
})
