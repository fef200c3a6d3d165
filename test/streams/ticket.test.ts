import { expect, test } from 'vitest'

import { runScript, type RedisClient } from '../../src/streams/scripts.ts'
import { takeTicket } from '../../src/sync/ticket.ts'
import { openConnections, useStreams, type TestStream } from '../support/streams.ts'

const open = useStreams()

const take = async ({ redis, partition }: TestStream, above?: string): Promise<bigint> =>
  BigInt((await takeTicket(redis, partition, above)).version)

async function clockOf(redis: RedisClient): Promise<bigint> {
  const [seconds, micros] = await redis.time()
  return BigInt(Number(seconds)) * 1_000_000n + BigInt(Number(micros))
}

test('tickets never fall behind the clock of Redis', async () => {
  const stream = await open()
  const before = await clockOf(stream.redis)
  const ticket = await take(stream)
  expect(ticket).toBeGreaterThanOrEqual(before)
  expect(ticket).toBeLessThanOrEqual(await clockOf(stream.redis))
})

test('tickets taken side by side on several connections are all different, and rise on each of them', async () => {
  const stream = await open()
  const clients = [1, 2, 3, 4].map(() => openConnections(stream.url, stream.logger).commands)
  const taken = await Promise.all(
    clients.map(async (redis) => {
      const ofClient = await Promise.all(Array.from({ length: 500 }, () => take({ ...stream, redis })))
      expect(ofClient).toEqual(ofClient.toSorted((a, b) => (a < b ? -1 : 1)))
      return ofClient
    }),
  )
  expect(new Set(taken.flat()).size).toBe(2_000)
})

test('a ticket is above every one that was given out before it was asked for', async () => {
  const stream = await open()
  const other = { ...stream, redis: openConnections(stream.url, stream.logger).commands }
  let last = 0n
  for (let i = 0; i < 50; i++) {
    const ticket = await take(i % 2 === 0 ? stream : other)
    expect(ticket).toBeGreaterThan(last)
    last = ticket
  }
})

test('a counter that is ahead of the clock goes on above itself', async () => {
  const stream = await open()
  const ahead = (await clockOf(stream.redis)) + 3_600_000_000n
  await stream.redis.set(stream.partition.keys.ticket, ahead.toString())
  expect(await take(stream)).toBe(ahead + 1n)
  expect(await take(stream)).toBe(ahead + 2n)
})

test('a counter that was lost goes on above all earlier tickets', async () => {
  const stream = await open()
  const earlier = await take(stream)
  await stream.redis.del(stream.partition.keys.ticket)
  expect(await take(stream)).toBeGreaterThan(earlier)
})

test('a counter that is older than the clock catches up with it', async () => {
  const stream = await open()
  await stream.redis.set(stream.partition.keys.ticket, '17')
  const before = await clockOf(stream.redis)
  expect(await take(stream)).toBeGreaterThanOrEqual(before)
})

test('"above" raises the counter for good', async () => {
  const stream = await open()
  const stored = (await clockOf(stream.redis)) + 86_400_000_000n
  expect(await take(stream, stored.toString())).toBe(stored + 1n)
  expect(await take(stream)).toBe(stored + 2n)
})

test('"above" something lower changes nothing', async () => {
  const stream = await open()
  const before = await take(stream)
  const ticket = await take(stream, '5')
  expect(ticket).toBeGreaterThan(before)
  expect(ticket).toBeLessThanOrEqual(await clockOf(stream.redis))
})

test('the targets come with the ticket', async () => {
  const { redis, partition } = await open()
  expect((await takeTicket(redis, partition)).targets).toEqual([])
  await redis.sadd(partition.keys.targets, 'cities-1.write', 'cities-2.write')
  const { version, targets } = await takeTicket(redis, partition)
  expect([...targets].sort()).toEqual(['cities-1.write', 'cities-2.write'])
  await redis.srem(partition.keys.targets, 'cities-1.write')
  const next = await takeTicket(redis, partition)
  expect(next.targets).toEqual(['cities-2.write'])
  expect(BigInt(next.version)).toBeGreaterThan(BigInt(version))
})

test('scripts are sent again when Redis has forgotten them', async () => {
  const stream = await open()
  await take(stream)
  await stream.redis.script('FLUSH')
  await expect(take(stream)).resolves.toBeGreaterThan(0n)
})

test('a script that is not defined on a connection is named', async () => {
  const { connections } = await open()
  const plain = connections.commands.duplicate()
  expect(() => runScript(plain, 'ticket', ['a', 'b'], ['0'])).toThrow(/ticket is not defined/)
  plain.disconnect()
})
