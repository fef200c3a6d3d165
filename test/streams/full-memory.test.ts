import { afterAll, beforeAll, expect, test } from 'vitest'

import { startRedis, type ServerHandle } from '../../services/services.ts'
import { createGroup } from '../../src/streams/group-member.ts'
import { bury } from '../../src/streams/dead-letters.ts'
import { Delayer } from '../../src/streams/delayer.ts'
import { isDrained } from '../../src/streams/inspect.ts'
import { Trimmer } from '../../src/streams/trimmer.ts'
import { takeTicket } from '../../src/sync/ticket.ts'
import {
  consumerOf,
  eventually,
  messages,
  rowIds,
  start,
  useStreams,
  type TestStream,
} from '../support/streams.ts'

const open = useStreams()
let server: ServerHandle

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

async function openHere(): Promise<TestStream> {
  const stream = await open({ url: server.url })
  await stream.redis.config('SET', 'maxmemory', '0')
  await stream.redis.flushall()
  return stream
}

/** Sets the limit to what is used, so that Redis refuses whatever needs more. */
async function fill({ redis, connections, writer }: TestStream): Promise<void> {
  await redis.config('SET', 'maxmemory', '1mb')
  const refused = await writer.publish(messages(['more']), 'main').catch((error: unknown) => error)
  expect(connections.describe(refused)).toMatchObject({
    code: 'REDIS_UNAVAILABLE',
    message: expect.stringMatching(/is full \(maxmemory reached\)/) as string,
  })
}

test('a Redis that is full is emptied again: consumers that start now take tickets, bury and acknowledge', async () => {
  const stream = await openHere()
  const { redis, writer, partition, partitions, namespace, logger } = stream
  await createGroup(redis, partition, 'index')
  await writer.publish(messages(rowIds(20_000)), 'main')
  await fill(stream)
  const done = new Set<string>()
  start(
    consumerOf(stream, {
      handler: async ({ ids }) => {
        const { version } = await takeTicket(redis, partition)
        await bury(redis, partition, [{ id: ids[0]!, type: 'x', reason: 'no room' }], version, 1_000)
        for (const id of ids) done.add(id)
      },
    }),
  )
  start(
    new Trimmer({ redis, namespace, partitions, groups: ['index'], retentionMs: 0, intervalMs: 20, logger }),
  )
  await eventually(async () => expect(await isDrained(redis, partitions)).toBe(true))
  expect(done.size).toBe(20_000)
  await eventually(async () => expect(await redis.xlen(partition.keys.main)).toBe(0))
})

test('a Redis that is full of delay messages is emptied too', async () => {
  const stream = await openHere()
  const { redis, writer, partition, partitions, namespace, logger } = stream
  await createGroup(redis, partition, 'index')
  await writer.delay(messages(rowIds(20_000)))
  await fill(stream)
  const delayer = new Delayer({ redis, namespace, partitions, delayMs: 0, logger })
  expect(await delayer.runOnce()).toBe(20_000)
  expect(await redis.xlen(partition.keys.main)).toBe(20_000)
})
