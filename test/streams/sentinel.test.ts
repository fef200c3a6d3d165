import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'

import { startRedis, type ServerHandle } from '../../services/services.ts'
import type { Batch } from '../../src/streams/batch.ts'
import type { RedisConnection } from '../../src/streams/connection.ts'
import { isDrained } from '../../src/streams/inspect.ts'
import {
  alive,
  blocked,
  consumerOf,
  eventually,
  messages,
  openConnections,
  start,
  useStreams,
  type TestStream,
} from '../support/streams.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const open = useStreams()
const name = 'shop'
let sentinel: ServerHandle
let master: ServerHandle

beforeAll(async () => {
  ;[master, sentinel] = await Promise.all([startRedis(), startRedis({ args: ['--sentinel'] })])
})
afterAll(() => Promise.all([sentinel?.stop(), master?.stop()]))

interface Guarded {
  readonly stream: TestStream
  readonly toMaster: TcpProxy
  readonly toSentinel: TcpProxy
  readonly behind: TestStream
}

/** A stream on a Redis that is found by a Sentinel, both behind a proxy; `sentinels` come before that Sentinel. */
async function guarded(...sentinels: { host: string; port: number }[]): Promise<Guarded> {
  const [toMaster, toSentinel] = await Promise.all([TcpProxy.to(master.url), TcpProxy.to(sentinel.url)])
  onTestFinished(async () => void (await Promise.all([toMaster.close(), toSentinel.close()])))
  const client = new Redis(sentinel.url)
  onTestFinished(() => client.disconnect())
  await client.call('SENTINEL', 'REMOVE', name).catch(() => undefined)
  await client.call('SENTINEL', 'MONITOR', name, '127.0.0.1', toMaster.port, 1)
  const stream = await open({ url: master.url })
  const connection: RedisConnection = {
    name,
    sentinels: [...sentinels, { host: '127.0.0.1', port: toSentinel.port }],
  }
  const connections = openConnections(connection, stream.logger, 300)
  return {
    stream,
    toMaster,
    toSentinel,
    behind: { ...stream, connections, redis: connections.commands },
  }
}

async function refuseAll({ toMaster, toSentinel }: Guarded): Promise<void> {
  await Promise.all([toMaster.refuse(), toSentinel.refuse()])
}

test('a Redis that a Sentinel names: the Consumer works, also after both were away; commands are refused at once meanwhile', async () => {
  const all = await guarded()
  const { stream, behind, toMaster, toSentinel } = all
  const seen: string[] = []
  const handler = ({ ids }: Batch): Promise<void> => Promise.resolve(void seen.push(...ids))
  start(consumerOf(behind, { handler, takeOverAfterMs: 1_000 }))
  await stream.writer.publish(messages(['1']), 'main')
  await eventually(() => expect(seen).toEqual(['1']))
  await refuseAll(all)
  const { connections } = behind
  await expect(connections.check()).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' })
  await eventually(async () => {
    const refused = connections.check().catch((error: unknown) => error)
    const later = new Promise((resolve) => void setImmediate(resolve, 'waits'))
    expect(await Promise.race([refused, later])).toMatchObject({ code: 'REDIS_UNAVAILABLE' })
  })
  await stream.writer.publish(messages(['2']), 'main')
  await Promise.all([toMaster.accept(), toSentinel.accept()])
  await eventually(() => expect(seen).toEqual(['1', '2']))
  await eventually(async () => expect(await isDrained(stream.redis, stream.partitions)).toBe(true))
})

test('a stop while Redis and every Sentinel are away does not wait until they are back', async () => {
  const all = await guarded()
  const { stream, behind } = all
  // It never looks for the dead again, so that it waits for its reader and for nothing else.
  const choices = { handler: () => Promise.resolve(), takeOverAfterMs: 3_600_000 }
  const running = start(consumerOf(behind, choices))
  await alive(stream, 1)
  await blocked(stream, all.toMaster)
  await refuseAll(all)
  await eventually(() =>
    expect(stream.log.some(({ message }) => /Redis cannot be reached/.test(message))).toBe(true),
  )
  await running.stop()
})

test('a Sentinel that is silent is passed over', async () => {
  const silent = await TcpProxy.to(sentinel.url)
  onTestFinished(() => silent.close())
  silent.dropReplies()
  const { behind } = await guarded({ host: '127.0.0.1', port: silent.port })
  await eventually(() => behind.connections.check())
})
