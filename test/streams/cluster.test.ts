import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'

import { startRedis, type ServerHandle } from '../../services/services.ts'
import type { Batch, BatchResult } from '../../src/streams/batch.ts'
import { bury } from '../../src/streams/dead-letters.ts'
import { Delayer } from '../../src/streams/delayer.ts'
import { inspectPartition, isDrained, streamStatus, workerStatus } from '../../src/streams/inspect.ts'
import { workersKey } from '../../src/streams/keys.ts'
import { StreamWriter } from '../../src/streams/stream-writer.ts'
import { Trimmer } from '../../src/streams/trimmer.ts'
import { takeTicket } from '../../src/sync/ticket.ts'
import {
  alive,
  consumerOf,
  eventually,
  messages,
  openConnections,
  readAs,
  rowIds,
  start,
  useStreams,
  type TestStream,
} from '../support/streams.ts'

const open = useStreams()
const slots = 16_384
let nodes: ServerHandle[]

/** Two primaries with half of the slots each. */
beforeAll(async () => {
  const args = ['--cluster-enabled', 'yes']
  nodes = await Promise.all([startRedis({ args }), startRedis({ args })])
  const clients = nodes.map((node) => new Redis(node.url))
  const half = Array.from({ length: slots / 2 }, (_, slot) => slot)
  await clients[0]!.cluster('ADDSLOTS', half)
  await clients[1]!.cluster(
    'ADDSLOTS',
    half.map((slot) => slot + slots / 2),
  )
  await clients[0]!.cluster('MEET', '127.0.0.1', nodes[1]!.port)
  for (const client of clients) {
    await eventually(async () =>
      expect(await client.cluster('INFO')).toMatch(/cluster_state:ok[^]*cluster_known_nodes:2/),
    )
    client.disconnect()
  }
})
afterAll(() => Promise.all(nodes.map((node) => node.stop())))

async function openHere(partitions: number): Promise<TestStream> {
  const stream = await open({ partitions })
  const cluster = nodes.map(({ port }) => ({ host: '127.0.0.1', port }))
  const connections = openConnections({ cluster }, stream.logger)
  const redis = connections.commands
  return { ...stream, connections, redis, writer: new StreamWriter(redis, stream.partitions) }
}

test('everything that a stream can do, it can do on a Redis Cluster, with its partitions on several nodes', async () => {
  const stream = await openHere(8)
  const { redis, writer, partitions, namespace, logger, connections, log } = stream
  await connections.check()
  expect(connections.address).toBe('a cluster of 2 known nodes')
  const published = await writer.delay(messages(rowIds(400)))
  await writer.publish(messages(rowIds(400)), 'main', published)
  await writer.move(await writer.delay(messages(rowIds(100, 401))), 'bulk')
  await writer.discard(await writer.delay(messages(rowIds(100, 1_001))))
  await writer.delay(messages(rowIds(100, 501)))
  for (const partition of partitions) await readAs({ ...stream, partition }, 'dead', 10)
  expect(await new Delayer({ redis, namespace, partitions, delayMs: 0, logger }).runOnce()).toBe(100)
  expect((await streamStatus(redis, partitions)).main.length).toBe(500)

  const seen = new Set<string>()
  for (const partition of partitions) {
    const handler = async ({ ids }: Batch): Promise<BatchResult> => {
      const { version } = await takeTicket(redis, partition)
      await bury(redis, partition, [{ id: ids[0]!, type: 'document_failed', reason: 'x' }], '1', 1_000)
      for (const id of ids) seen.add(id)
      return { resolved: [{ version, ids }] }
    }
    start(consumerOf({ ...stream, partition }, { handler, batchSize: 10 }))
  }
  await eventually(async () => expect(await isDrained(redis, partitions)).toBe(true))
  expect(seen).toEqual(new Set(rowIds(600)))
  expect(await workerStatus(redis, namespace)).toMatchObject([{ kind: 'consumer' }])
  const trimmer = new Trimmer({
    redis, namespace, partitions, logger, groups: ['index'], retentionMs: 0, intervalMs: 1,
  }) // prettier-ignore
  expect((await trimmer.runOnce()).trimmed).toBe(600)
  expect((await inspectPartition(redis, partitions[3]!)).main.groups).toMatchObject([
    { pending: 0, undelivered: 0 },
  ])
  expect(await streamStatus(redis, partitions)).toMatchObject({ deadLetters: 0, delay: { length: 0 } })
  expect(log.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])

  const sizes = await Promise.all(
    nodes.map(async ({ url }) => {
      const node = new Redis(url)
      const keys = await node.keys(`${namespace}*:main`)
      node.disconnect()
      return keys.length
    }),
  )
  expect(sizes.every((count) => count > 0)).toBe(true)
})

test('ages are told by the clock of the node that holds the keys, since those of the others may be wrong', async () => {
  const { redis, partition, partitions, namespace, logger } = await openHere(1)
  const trimmer = new Trimmer({
    redis, namespace, partitions, logger, groups: ['index'], retentionMs: 1_000, intervalMs: 1,
  }) // prettier-ignore
  for (const [key, ask] of [
    [partition.keys.main, () => streamStatus(redis, partitions)],
    [partition.keys.main, () => trimmer.runOnce()],
    [workersKey(namespace), () => workerStatus(redis, namespace)],
  ] as const) {
    expect(await nodesAskedForTime(ask)).toEqual([await ownerOf(key)])
  }
})

/** The URL of the node that holds a key. */
async function ownerOf(key: string): Promise<string> {
  const [node] = nodes
  const client = new Redis(node!.url)
  const slot = await client.cluster('KEYSLOT', key)
  client.disconnect()
  return nodes[slot < slots / 2 ? 0 : 1]!.url
}

async function nodesAskedForTime(ask: () => Promise<unknown>): Promise<string[]> {
  const clients = nodes.map(({ url }) => new Redis(url))
  for (const client of clients) await client.config('RESETSTAT')
  // A command without a key goes to any node: ten times, so that it is not always the right one by chance.
  for (let i = 0; i < 10; i++) await ask()
  const counts = await Promise.all(clients.map((client) => client.info('commandstats')))
  for (const client of clients) client.disconnect()
  return nodes.filter((_, i) => counts[i]!.includes('cmdstat_time:')).map(({ url }) => url)
}

test('wait asks every primary', async () => {
  const { redis, partitions } = await openHere(8)
  const writer = new StreamWriter(redis, partitions, { replicas: 1, timeoutMs: 50 })
  await expect(writer.publish(messages(rowIds(20)), 'main')).rejects.toThrow(/0 of 1 replicas/)
  for (const { url } of nodes) {
    const node = new Redis(url)
    expect(await node.info('commandstats')).toMatch(/cmdstat_wait:calls=1,/)
    node.disconnect()
  }
})

test('a cluster that is not there is one clear error', async () => {
  const { logger } = await open()
  const connections = openConnections({ cluster: [{ host: '127.0.0.1', port: 1 }] }, logger, 500)
  await expect(connections.check()).rejects.toMatchObject({
    code: 'REDIS_UNAVAILABLE',
    message: expect.stringMatching(
      /a cluster of 1 known nodes does not answer: Connection is closed;/,
    ) as string,
  })
})

test('while a Cluster is away, commands are refused at once, and a stop does not wait until it is back', async () => {
  // Nobody has told a node that knows no other what its address is.
  const args = ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1']
  const node = await startRedis({ args })
  onTestFinished(() => node.stop())
  const client = new Redis(node.url)
  await client.cluster(
    'ADDSLOTS',
    Array.from({ length: slots }, (_, slot) => slot),
  )
  await eventually(async () => expect(await client.cluster('INFO')).toMatch(/cluster_state:ok/))
  client.disconnect()
  const stream = await open({ url: node.url })
  const connections = openConnections(
    { cluster: [{ host: '127.0.0.1', port: node.port }] },
    stream.logger,
    500,
  )
  const here = { ...stream, connections, redis: connections.commands }
  // It never looks for the dead again, so that it waits for its reader and for nothing else.
  const choices = { handler: () => Promise.resolve(), takeOverAfterMs: 3_600_000 }
  const running = start(consumerOf(here, choices))
  await alive(here, 1)
  await node.stop()
  await eventually(async () => {
    const refused = connections.check().catch((error: unknown) => error)
    const later = new Promise((resolve) => void setImmediate(resolve, 'waits'))
    expect(await Promise.race([refused, later])).toMatchObject({ code: 'REDIS_UNAVAILABLE' })
  })
  await running.stop()
})
