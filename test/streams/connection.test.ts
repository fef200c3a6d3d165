import { inspect } from 'node:util'

import * as fc from 'fast-check'
import { Cluster, Redis, ReplyError, type RedisOptions } from 'ioredis'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'

import { startRedis, type ServerHandle } from '../../services/services.ts'
import { RedstreamError } from '../../src/errors.ts'
import { RedisConnections } from '../../src/streams/connection.ts'
import { describeRedisError, replyCode } from '../../src/streams/redis-error.ts'
import {
  consumerOf,
  eventually,
  idsIn,
  loggerTo,
  messages,
  openConnections,
  start,
  useStreams,
  type LogLine,
} from '../support/streams.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const open = useStreams()
const password = 'geheim/§3cret word'
let guarded: ServerHandle

beforeAll(async () => {
  guarded = await startRedis({ password })
})
afterAll(() => guarded.stop())

/** An error as ioredis makes it of a reply. */
function reply(message: string): Error {
  // The type definitions do not know its constructor.
  return new (ReplyError as unknown as new (message: string) => Error)(message)
}

const describeReply = (message: string): RedstreamError =>
  describeRedisError(reply(message), 'redis.local:6379')

test.each([
  [
    'WRONGPASS invalid username-password pair or user is disabled.',
    'REDIS',
    /refused the user or password \(WRONGPASS\).*REDIS_URL/,
  ],
  ['NOAUTH Authentication required.', 'REDIS', /refused the user or password \(NOAUTH\)/],
  ["NOPERM this user has no permissions to run the 'xadd' command", 'REDIS', /ACL user.*'xadd'/],
  ["OOM command not allowed when used memory > 'maxmemory'.", 'REDIS_UNAVAILABLE', /full/],
  ["READONLY You can't write against a read only replica.", 'REDIS_UNAVAILABLE', /no writes.*READONLY/],
  ['LOADING Redis is loading the dataset in memory', 'REDIS_UNAVAILABLE', /LOADING/],
  ['MASTERDOWN Link with MASTER is down', 'REDIS_UNAVAILABLE', /MASTERDOWN/],
  ['CLUSTERDOWN The cluster is down', 'REDIS_UNAVAILABLE', /CLUSTERDOWN/],
  ['TRYAGAIN Multiple keys request during rehashing of slot', 'REDIS_UNAVAILABLE', /TRYAGAIN/],
  [
    'WRONGTYPE Operation against a key holding the wrong kind of value',
    'REDIS',
    /refused a command: WRONGTYPE/,
  ],
])('the reply "%s" is %s', (message, code, text) => {
  const error = describeReply(message)
  expect(error).toMatchObject({ name: 'RedstreamError', code })
  expect(error.message).toMatch(text)
  expect(error.message).toContain('redis.local:6379')
})

test.each([
  // What Redis 6.2 makes of an error inside a script.
  [
    'ERR Error running script (call to f_6b1bf4868): @user_script:17: @user_script: 17: -OOM command not allowed',
    'OOM',
  ],
  [
    "ERR Error running script (call to f_6b1bf4868): @user_script:2: -READONLY You can't write against a read only replica.",
    'READONLY',
  ],
  [
    "ERR Error running script (call to f_6b1bf4868): @user_script:2: NOGROUP No such key 'x' or consumer group 'index'",
    'NOGROUP',
  ],
  [
    'ERR Error running script (call to f_6b1bf4868): @user_script:5: user_script:5: attempt to index a nil value',
    'ERR',
  ],
  ["NOGROUP No such key 'x' or consumer group 'index' script: 7f, on @user_script:2.", 'NOGROUP'],
  ['something without a code', 'ERR'],
])('the code of "%s" is %s', (message, code) => {
  expect(replyCode(reply(message))).toBe(code)
})

test('an error that Redis did not send has no code, and one that is described is left as it is', () => {
  expect(replyCode(new Error('OOM'))).toBeUndefined()
  expect(replyCode('OOM')).toBeUndefined()
  const known = new RedstreamError('TIMEOUT', 'known')
  expect(describeRedisError(known, 'redis.local:6379')).toBe(known)
  for (const nothing of [undefined, null, 'a text']) {
    expect(describeRedisError(nothing, 'redis.local:6379').code).toBe('REDIS_UNAVAILABLE')
  }
})

test('arguments of commands are not repeated: a proxy may not know AUTH', () => {
  const error = describeReply("ERR unknown command 'AUTH', with args beginning with: 'default' 'secret' ")
  expect(error.message).toMatch(/unknown command 'AUTH'/)
  expect(error.message).not.toContain('secret')
})

test('the address names host and port, and never a user or password', () => {
  const addressOf = (connection: ConstructorParameters<typeof RedisConnections>[0]): string =>
    openConnections(connection, loggerTo([])).address
  expect(addressOf('redis://ann:secret@127.0.0.1:1/3')).toBe('127.0.0.1:1')
  expect(addressOf('redis://:secret@localhost')).toBe('localhost:6379')
  expect(addressOf('127.0.0.1:1')).toBe('127.0.0.1:1')
  expect(addressOf('/run/none/redis.sock')).toBe('/run/none/redis.sock')
  expect(addressOf({ host: '127.0.0.1', port: 2, username: 'ann', password: 'secret' })).toBe('127.0.0.1:2')
  expect(addressOf({ path: '/run/none/redis.sock' })).toBe('/run/none/redis.sock')
  const sentinels = [{ host: '127.0.0.1', port: 1 }]
  expect(addressOf({ sentinels, name: 'shop', sentinelPassword: 'secret' })).toBe('Sentinel group shop')
  expect(addressOf({ cluster: [{ host: '127.0.0.1', port: 1 }] })).toBe('a cluster of 1 known nodes')
  fc.assert(
    fc.property(fc.string({ minLength: 12 }), (secret) => {
      const address = addressOf(`redis://ann:${encodeURIComponent(secret)}@127.0.0.1:1`)
      expect(address).toBe('127.0.0.1:1')
    }),
    { numRuns: 10 },
  )
})

test('a wrong password is one clear error, and neither it nor the right one is printed or logged', async () => {
  const log: LogLine[] = []
  const stream = await open()
  const url = guarded.url.replace(encodeURIComponent(password), 'mistyped-word')
  const connections = openConnections(url, loggerTo(log))
  const error: unknown = await connections.check().catch((reason: unknown) => reason)
  expect(error).toMatchObject({
    code: 'REDIS',
    message: expect.stringMatching(/refused the user or password/) as string,
  })
  start(consumerOf({ ...stream, connections, logger: loggerTo(log) }, { handler: () => Promise.resolve() }))
  await eventually(() => expect(log.some(({ level }) => level === 'error')).toBe(true))
  const raw: unknown = await connections.commands.get('x').catch((reason: unknown) => reason)
  const printed = inspect([error, raw, log], { depth: 10, showHidden: true })
  expect(printed).toContain('WRONGPASS')
  expect(printed).not.toContain('mistyped')
  expect(printed).not.toContain(password)
})

test('the right password opens the door', async () => {
  await expect(openConnections(guarded.url, loggerTo([])).check()).resolves.toBeUndefined()
  const { hostname, port } = new URL(guarded.url)
  const options = { host: hostname, port: Number(port), password }
  await expect(openConnections(options, loggerTo([])).check()).resolves.toBeUndefined()
})

test('a server that is not there is one clear error that says why', async () => {
  const proxy = await TcpProxy.to('redis://127.0.0.1:1')
  await proxy.close()
  const log: LogLine[] = []
  const connections = openConnections(`redis://:secret@127.0.0.1:${proxy.port}`, loggerTo(log))
  const error: unknown = await connections.check().catch((reason: unknown) => reason)
  expect(error).toMatchObject({
    code: 'REDIS_UNAVAILABLE',
    message: `Redis at 127.0.0.1:${proxy.port} does not answer: ECONNREFUSED; set REDIS_URL or \`redis\` in the configuration`,
  })
  expect(log).toEqual([])
})

test('a URL that cannot be read is named without its password', () => {
  for (const url of ['redis://:a/secret@127.0.0.1:1', 'redis://zoe:secret@127.0.0.1:port']) {
    let error: unknown
    try {
      openConnections(url, loggerTo([]))
    } catch (reason) {
      error = reason
    }
    expect(error).toMatchObject({ name: 'RedstreamError', code: 'CONFIG' })
    expect(inspect(error, { depth: 10, showHidden: true })).not.toMatch(/secret|zoe/)
  }
})

test('a server that accepts and never answers is noticed within the timeout', async () => {
  const stream = await open()
  const proxy = await TcpProxy.to(stream.url)
  onTestFinished(() => proxy.close())
  proxy.dropReplies()
  const connections = openConnections(`redis://127.0.0.1:${proxy.port}`, loggerTo([]), 150)
  await expect(connections.check()).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' })
})

test('one warning per outage, and one line when it is over', async () => {
  const stream = await open()
  const proxy = await TcpProxy.to(stream.url)
  onTestFinished(() => proxy.close())
  const log: LogLine[] = []
  const connections = openConnections(`redis://127.0.0.1:${proxy.port}`, loggerTo(log))
  await connections.check()
  await proxy.refuse()
  await expect(connections.check()).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' })
  await proxy.accept()
  await eventually(() => connections.check())
  expect(log.map(({ level }) => level)).toEqual(['warn', 'info'])
})

test('settings of a client of your own that would break the reading of streams do not matter', async () => {
  const stream = await open()
  const { hostname, port } = new URL(stream.url)
  const options: RedisOptions = {
    host: hostname,
    port: Number(port),
    keyPrefix: 'mine:',
    enableOfflineQueue: false,
    lazyConnect: true,
    commandTimeout: 50,
    maxRetriesPerRequest: 0,
    stringNumbers: true,
  }
  const own = new Redis(options)
  onTestFinished(() => own.disconnect())
  for (const connection of [options, own]) {
    const connections = openConnections(connection, stream.logger)
    const seen: string[] = []
    const handler = ({ ids }: { ids: readonly string[] }): Promise<void> =>
      Promise.resolve(void seen.push(...ids))
    const running = start(consumerOf({ ...stream, connections }, { handler }))
    // The blocking read lasts longer than the command timeout of the client.
    await eventually(async () => {
      await stream.writer.publish(messages(['1']), 'main')
      expect(seen.length).toBeGreaterThan(2)
    })
    await running.stop()
    expect(await idsIn(stream.redis, stream.partition.keys.main)).toContain('1')
  }
  expect(stream.log.filter(({ level }) => level === 'error')).toEqual([])
  expect(own.status).toBe('wait')
})

test('commands leave in the tick of their call, also where a client of your own collects them', async () => {
  const stream = await open()
  const own = new Redis(stream.url, { enableAutoPipelining: true, lazyConnect: true })
  onTestFinished(() => own.disconnect())
  const { commands } = openConnections(own, stream.logger)
  const answer = commands.echo('sent')
  expect(commands.autoPipelineQueueSize).toBe(0)
  expect(await answer).toBe('sent')

  const cluster = new Cluster([{ host: '127.0.0.1', port: 1 }], {
    enableAutoPipelining: true,
    lazyConnect: true,
  })
  expect(openConnections(cluster, loggerTo([])).commands.options.enableAutoPipelining).toBe(false)
})

test('a cluster of your own keeps its TLS and its user when it is duplicated', () => {
  const own = new Cluster([{ host: '127.0.0.1', port: 1 }], {
    lazyConnect: true,
    redisOptions: { username: 'ann', password: 'secret', tls: { servername: 'shop' } },
  })
  const { commands } = openConnections(own, loggerTo([]))
  expect((commands as Cluster).options.redisOptions).toMatchObject({
    username: 'ann',
    password: 'secret',
    tls: { servername: 'shop' },
    maxRetriesPerRequest: 3,
  })
})

test('closing waits for answers that are under way, and a client of your own stays open', async () => {
  const stream = await open()
  const own = new Redis(stream.url)
  onTestFinished(() => own.disconnect())
  const connections = new RedisConnections(own, 5_000, stream.logger)
  const reader = connections.blocking(new AbortController().signal)
  await Promise.all([connections.check(), reader.ping()])
  const answer = connections.commands.echo('late')
  const read = reader.xread('BLOCK', 200, 'STREAMS', stream.partition.keys.main, '$')
  await connections.close()
  expect(await answer).toBe('late')
  expect(await read).toBeNull()
  expect(await own.ping()).toBe('PONG')
})

test('closing does not hang on a connection that is silent, or not there', async () => {
  const stream = await open()
  const proxy = await TcpProxy.to(stream.url)
  onTestFinished(() => proxy.close())
  const connections = new RedisConnections(`redis://127.0.0.1:${proxy.port}`, 1_000, stream.logger)
  await Promise.all([connections.check(), connections.blocking(new AbortController().signal).ping()])
  proxy.silence()
  await connections.close()
  await proxy.refuse()
  const refused = new RedisConnections(`redis://127.0.0.1:${proxy.port}`, 150, stream.logger)
  await expect(refused.check()).rejects.toThrow()
  await refused.close()
})
