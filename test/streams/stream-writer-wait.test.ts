import type { Command } from 'ioredis'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'

import { startRedis, type ServerHandle } from '../../services/services.ts'
import { StreamWriter } from '../../src/streams/stream-writer.ts'
import { eventually, idsIn, messages, openConnections, rowIds, useStreams } from '../support/streams.ts'

const open = useStreams()
let primary: ServerHandle
let replica: ServerHandle

beforeAll(async () => {
  // By default a primary waits 5 s for more replicas before it serves the first.
  primary = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] })
  replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(primary.port)] })
})
afterAll(async () => {
  await replica.stop()
  await primary.stop()
})

test('wait 0: messages are written as without it', async () => {
  const { redis, partitions, partition } = await open()
  const writer = new StreamWriter(redis, partitions, { replicas: 0, timeoutMs: 100 })
  const delayed = await writer.delay(messages(['1']))
  await writer.publish(messages(['1']), 'main', delayed)
  expect(await idsIn(redis, partition.keys.main)).toEqual(['1'])
})

test('wait on a server without replicas fails within its timeout and says so', async () => {
  const { redis, partitions, partition } = await open()
  const writer = new StreamWriter(redis, partitions, { replicas: 1, timeoutMs: 50 })
  const refusal = { name: 'RedstreamError', code: 'REDIS_UNAVAILABLE' }
  await expect(writer.delay(messages(['1']))).rejects.toMatchObject({
    ...refusal,
    message: expect.stringMatching(/0 of 1 replicas .*50 ms.*`wait`/) as string,
  })
  await expect(writer.publish(messages(['1']), 'main')).rejects.toMatchObject(refusal)
  // What could not be confirmed may be there all the same: it is indexed once more, which is harmless.
  expect(await idsIn(redis, partition.keys.delay)).toEqual(['1'])
})

test('wait resolves when the replica has every message, and fails while it has not', async () => {
  const { redis, partitions, partition, logger } = await open({ url: primary.url })
  const writer = new StreamWriter(redis, partitions, { replicas: 1, timeoutMs: 2_000 })
  await eventually(async () => expect(await redis.info('replication')).toMatch(/state=online/))
  const onReplica = openConnections(replica.url, logger).commands
  await writer.publish(messages(rowIds(20_000)), 'main')
  expect(await onReplica.xlen(partition.keys.main)).toBe(20_000)

  const impatient = new StreamWriter(redis, partitions, { replicas: 1, timeoutMs: 100 })
  process.kill(replica.pid, 'SIGSTOP')
  onTestFinished(() => void process.kill(replica.pid, 'SIGCONT'))
  await expect(impatient.publish(messages(rowIds(6_000)), 'bulk')).rejects.toThrow(/0 of 1 replicas/)
})

test('wait is asked for after the last of several calls', async () => {
  const { redis, partitions } = await open({ url: primary.url })
  const own: string[] = []
  const send = redis.sendCommand.bind(redis) as (command: Command, ...rest: unknown[]) => unknown
  redis.sendCommand = (command: Command, ...rest: unknown[]) => {
    own.push(command.name)
    return send(command, ...rest)
  }
  const writer = new StreamWriter(redis, partitions, { replicas: 0, timeoutMs: 100 })
  await writer.publish(messages(rowIds(12_000)), 'main')
  expect(own.at(-1)).toBe('wait')
  expect(own.filter((name) => name === 'wait')).toHaveLength(1)
})
