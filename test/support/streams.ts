import { Isolation } from '../../src/streams/isolation.ts'
import { afterAll, beforeAll, expect, onTestFinished, vi } from 'vitest'

import type { Logger } from '../../src/runtime/logger.ts'
import { Consumer, type ConsumerOptions } from '../../src/streams/consumer.ts'
import { RedisConnections, type RedisConnection } from '../../src/streams/connection.ts'
import { createGroup } from '../../src/streams/group-member.ts'
import { readHeartbeats } from '../../src/streams/heartbeat.ts'
import { partitionsOf, workersKey, type Lane, type Partition } from '../../src/streams/keys.ts'
import { decodeMessages, type Message } from '../../src/streams/message.ts'
import { parseEntries, type Entry } from '../../src/streams/replies.ts'
import type { RedisClient } from '../../src/streams/scripts.ts'
import { StreamWriter } from '../../src/streams/stream-writer.ts'
import { testSpace, type TestSpace } from './services.ts'
import type { TcpProxy } from './tcp-proxy.ts'

/** A line that was logged. */
export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly facts: { readonly err?: unknown; readonly [fact: string]: unknown }
  readonly message: string
}

/** A stream of a test's own on the real Redis. */
export interface TestStream {
  readonly namespace: string
  readonly partitions: readonly Partition[]
  /** The first partition. */
  readonly partition: Partition
  readonly connections: RedisConnections
  readonly redis: RedisClient
  readonly writer: StreamWriter
  readonly url: string
  readonly log: LogLine[]
  readonly logger: Logger
}

/** Registers the hooks of a test file; the function it returns opens a stream with keys of its own. */
export function useStreams(): (options?: { partitions?: number; url?: string }) => Promise<TestStream> {
  let space: TestSpace
  let opened = 0
  beforeAll(async () => {
    space = await testSpace()
  })
  afterAll(() => space.dispose())
  return async ({ partitions: count = 1, url = space.redisUrl } = {}) => {
    const namespace = `${space.namespace}-${opened++}`
    const partitions = partitionsOf(namespace, 'cities', count)
    const log: LogLine[] = []
    const logger = loggerTo(log)
    const connections = openConnections(url, logger)
    const redis = connections.commands
    const writer = new StreamWriter(redis, partitions)
    return { namespace, partitions, partition: partitions[0]!, connections, redis, writer, url, log, logger }
  }
}

/** Connections that are closed when the test has finished. */
export function openConnections(
  connection: RedisConnection,
  logger: Logger,
  timeoutMs = 5_000,
): RedisConnections {
  const connections = new RedisConnections(connection, timeoutMs, logger)
  onTestFinished(() => connections.close())
  return connections
}

export function loggerTo(log: LogLine[]): Logger {
  const at = (level: LogLine['level']) => (facts: object, message: string) =>
    void log.push({ level, facts: { ...facts }, message })
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** What a consumer of a test differs in. */
export type ConsumerChoices = Pick<ConsumerOptions, 'handler'> &
  Partial<Omit<ConsumerOptions, 'handler' | 'namespace' | 'logger'>>

/** A consumer of a stream's first partition. */
export function consumerOf(stream: TestStream, choices: ConsumerChoices): Consumer {
  const { connections, namespace, partition, logger } = stream
  return new Consumer({
    connections,
    namespace,
    partition,
    logger,
    group: 'index',
    batchSize: 100,
    concurrency: 4,
    takeOverAfterMs: 2_000,
    isolation: new Isolation(),
    ...choices,
  })
}

export interface Running {
  /** Tells it to stop and waits until it has. */
  stop(): Promise<void>
  /** Tells it to stop. */
  abort(): void
  readonly finished: Promise<void>
}

/** Runs a worker until it is stopped, or the test has finished. */
export function start(worker: { run(signal: AbortSignal): Promise<void> }): Running {
  const stopping = new AbortController()
  const finished = worker.run(stopping.signal)
  const stop = async (): Promise<void> => {
    stopping.abort()
    await finished
  }
  onTestFinished(stop)
  return { stop, abort: () => stopping.abort(), finished }
}

/** Waits until the assertions of `check` hold. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: 15_000, interval: 10 })
}

/** A promise and the function that resolves it. */
export function gate(): { readonly passed: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { passed: promise, open: () => resolve() }
}

export function messages(ids: readonly (string | number)[]): Message[] {
  return ids.map((id) => ({ id: String(id) }))
}

/** `count` keys of rows. */
export function rowIds(count: number, first = 1): string[] {
  return Array.from({ length: count }, (_, index) => String(first + index))
}

export async function entriesIn(redis: RedisClient, key: string): Promise<Entry[]> {
  return parseEntries(await redis.xrange(key, '-', '+'))
}

/** The row keys of a stream's entries in order. */
export async function idsIn(redis: RedisClient, key: string): Promise<string[]> {
  return (await entriesIn(redis, key)).flatMap((entry) => decodeMessages(entry.fields).map(({ id }) => id))
}

/** Redis' clock in ms. */
export async function redisNow(redis: RedisClient): Promise<number> {
  const [seconds, micros] = await redis.time()
  return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
}

/** Number of entries that a group has been given and has not acknowledged. */
export async function pendingIn(redis: RedisClient, key: string, group = 'index'): Promise<number> {
  const [count] = await redis.xpending(key, group)
  return Number(count)
}

/** Reads as a member of a group that never acknowledges, and makes the group where it is missing. */
export async function readAs(
  stream: TestStream,
  member: string,
  count: number,
  lane: Lane = 'main',
  group = 'index',
): Promise<void> {
  await createGroup(stream.redis, stream.partition, group)
  const key = stream.partition.keys[lane]
  await stream.redis.xreadgroup('GROUP', group, member, 'COUNT', count, 'STREAMS', key, '>')
}

/** One beat of a worker that is not this process. */
export async function beatAs({ redis, namespace }: TestStream, member: string): Promise<void> {
  const beat = { kind: 'consumer', host: 'elsewhere', pid: 1, at: await redisNow(redis) }
  await redis.hset(workersKey(namespace), member, JSON.stringify(beat))
}

/** Waits until so many workers show a heartbeat. */
export async function alive(stream: TestStream, count: number): Promise<void> {
  await eventually(async () =>
    expect(await readHeartbeats(stream.redis, stream.namespace)).toHaveLength(count),
  )
}

/** Waits until a connection through the proxy is in a blocking read. */
export async function blocked({ redis }: TestStream, proxy: TcpProxy): Promise<void> {
  await eventually(async () => {
    const list = String(await redis.client('LIST'))
    const blocking = list.split('\n').filter((line) => / flags=\w*b/.test(line))
    expect(proxy.clients.some((client) => blocking.some((line) => line.includes(` addr=${client} `)))).toBe(
      true,
    )
  })
}

/** Names of the members of a group in a lane. */
export async function membersOf(stream: TestStream, lane: Lane = 'main', group = 'index'): Promise<string[]> {
  const reply = await stream.redis.xinfo('CONSUMERS', stream.partition.keys[lane], group)
  return (reply as unknown[][]).map((member) => String(member[1]))
}
