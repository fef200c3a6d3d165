import { expect, test } from 'vitest'

import { lanes } from '../../src/streams/keys.ts'
import { StreamWriter } from '../../src/streams/stream-writer.ts'
import {
  entriesIn,
  idsIn,
  messages,
  openConnections,
  rowIds,
  useStreams,
  type TestStream,
} from '../support/streams.ts'

const open = useStreams()

/** In which partitions a key of a row is, in main, bulk and delay together. */
async function placesOf({ redis, partitions }: TestStream): Promise<Map<string, Set<number>>> {
  const places = new Map<string, Set<number>>()
  for (const { number, keys } of partitions) {
    for (const key of [keys.main, keys.bulk, keys.delay]) {
      for (const id of await idsIn(redis, key)) places.set(id, (places.get(id) ?? new Set()).add(number))
    }
  }
  return places
}

test('"queue": a message is one entry of its lane, with its payload', async () => {
  const { redis, writer, partition } = await open()
  await writer.publish([{ id: '1', payload: '{"name":"Köln"}' }, { id: '2' }], 'main')
  await writer.publish([{ id: '3' }], 'bulk')
  expect((await entriesIn(redis, partition.keys.main)).map(({ fields }) => fields)).toEqual([
    ['id', '1', 'payload', '{"name":"Köln"}'],
    ['id', '2'],
  ])
  expect(await idsIn(redis, partition.keys.bulk)).toEqual(['3'])
  expect(await redis.xlen(partition.keys.delay)).toBe(0)
})

test('"delay": messages of one call share entries of the delay stream, and nothing is in the lanes yet', async () => {
  const { redis, writer, partition } = await open()
  const delayed = await writer.delay(messages(rowIds(1_200)))
  expect(delayed).toHaveLength(3)
  expect((await entriesIn(redis, partition.keys.delay)).map(({ id }) => id)).toEqual(
    delayed.map(({ id }) => id),
  )
  expect(await idsIn(redis, partition.keys.delay)).toEqual(rowIds(1_200))
  for (const lane of lanes) expect(await redis.exists(partition.keys[lane])).toBe(0)
})

test('nothing is written for no messages', async () => {
  const { redis, writer, partitions } = await open({ partitions: 2 })
  expect(await writer.delay([])).toEqual([])
  await writer.publish([], 'main')
  await writer.move([], 'bulk')
  await writer.discard([])
  expect(await redis.exists(...partitions.flatMap(({ keys }) => Object.values(keys)))).toBe(0)
})

test('the same row is always in the same partition, and every partition gets some', async () => {
  const stream = await open({ partitions: 8 })
  const { writer } = stream
  const ids = [...rowIds(300), 'Ağrı', 'a%3Ab:c', '😀', '']
  await writer.delay(messages(ids))
  await writer.publish(messages(ids), 'main')
  await writer.publish(messages(ids.toReversed()), 'bulk')
  await new StreamWriter(stream.redis, stream.partitions).publish(messages(ids), 'main')
  const places = await placesOf(stream)
  expect([...places.keys()].sort()).toEqual([...ids].sort())
  for (const [id, partitions] of places) expect(partitions.size, id).toBe(1)
  expect(new Set([...places.values()].flatMap((one) => [...one])).size).toBe(8)
})

test('publishing deletes the delay entries in each partition', async () => {
  const { redis, writer, partitions } = await open({ partitions: 3 })
  const others = await writer.delay(messages(rowIds(50, 1_000)))
  const delayed = await writer.delay(messages(rowIds(50)))
  await writer.publish(messages(rowIds(50)), 'main', delayed)
  const left = await Promise.all(partitions.map(({ keys }) => entriesIn(redis, keys.delay)))
  expect(
    left
      .flat()
      .map(({ id }) => id)
      .sort(),
  ).toEqual(others.map(({ id }) => id).sort())
  const published = await Promise.all(partitions.map(({ keys }) => idsIn(redis, keys.main)))
  expect(published.flat().sort()).toEqual(rowIds(50).sort())
})

test('more messages than one call takes: delay entries go only when all messages are in the lane', async () => {
  const { redis, writer, partition, url, logger } = await open()
  const { main, delay } = partition.keys
  const ids = rowIds(12_001)
  const delayed = await writer.delay(messages(ids))
  const observer = openConnections(url, logger).commands
  const published = new AbortController()
  const seen: number[][] = []
  const observed = (async () => {
    do {
      const reply = await observer.multi().xlen(main).xlen(delay).exec()
      seen.push(reply!.map(([, length]) => Number(length)))
    } while (!published.signal.aborted)
  })()
  await writer.publish(messages(ids), 'main', delayed)
  published.abort()
  await observed
  for (const [published, waiting] of seen) {
    if (waiting! < delayed.length) expect([published, waiting]).toEqual([12_001, 0])
  }
  expect(new Set(await idsIn(redis, main))).toEqual(new Set(ids))
})

test('a publish that fails in one partition leaves its delay entries there', async () => {
  const { redis, writer, partitions } = await open({ partitions: 4 })
  const delayed = await writer.delay(messages(rowIds(40)))
  await redis.set(partitions[2]!.keys.main, 'not a stream')
  await expect(writer.publish(messages(rowIds(40)), 'main', delayed)).rejects.toThrow(/WRONGTYPE/)
  expect((await idsIn(redis, partitions[2]!.keys.delay)).length).toBeGreaterThan(0)
})

test('moving takes delay entries to a lane, in order, and passes over what the Delayer has moved', async () => {
  const { redis, writer, partition } = await open()
  const { bulk, delay } = partition.keys
  const delayed = await writer.delay(messages(rowIds(7_000)))
  await redis.xdel(delay, delayed[3]!.id)
  await writer.move(delayed, 'bulk')
  const expected = rowIds(7_000).filter((_, index) => Math.floor(index / 500) !== 3)
  expect(await idsIn(redis, bulk)).toEqual(expected)
  expect(await redis.xlen(delay)).toBe(0)
  await writer.move(delayed, 'bulk')
  expect(await redis.xlen(bulk)).toBe(expected.length)
})

test('discarding deletes the delay entries of a rollback and no others', async () => {
  const { redis, writer, partitions } = await open({ partitions: 2 })
  const kept = await writer.delay(messages(rowIds(20)))
  const delayed = await writer.delay(messages(rowIds(20)))
  await writer.discard(delayed)
  await writer.discard(delayed)
  const left = await Promise.all(partitions.map(({ keys }) => entriesIn(redis, keys.delay)))
  expect(
    left
      .flat()
      .map(({ id }) => id)
      .sort(),
  ).toEqual(kept.map(({ id }) => id).sort())
})

test('a transaction may leave more delay entries than one call takes', async () => {
  const { redis, writer, partition } = await open()
  const { main, delay } = partition.keys
  const delayed = await writer.delay(messages(rowIds(1_000)))
  const gone = Array.from({ length: 150_000 }, (_, index) => ({ partition, id: `1-${index + 1}` }))
  await writer.publish(messages(['1']), 'main', [...gone, ...delayed])
  expect(await idsIn(redis, main)).toEqual(['1'])
  expect(await redis.xlen(delay)).toBe(0)
  const rolledBack = await writer.delay(messages(rowIds(1_000)))
  await writer.discard([...gone, ...rolledBack])
  expect(await redis.xlen(delay)).toBe(0)
})
