import { expect, test } from 'vitest'

import { bury, deadLetterOf, discardLetters } from '../../src/streams/dead-letters.ts'
import { createGroup } from '../../src/streams/group-member.ts'
import { Heartbeat, readHeartbeats } from '../../src/streams/heartbeat.ts'
import { workersKey } from '../../src/streams/keys.ts'
import { decodeMessages, encodeDelayed, encodeMessage, type Message } from '../../src/streams/message.ts'
import { runScript, type RedisClient } from '../../src/streams/scripts.ts'
import {
  beatAs,
  entriesIn,
  eventually,
  idsIn,
  membersOf,
  messages,
  openConnections,
  pendingIn,
  readAs,
  redisNow,
  rowIds,
  useStreams,
} from '../support/streams.ts'

const open = useStreams()

const fieldsOf = (...all: Message[]): string[] => all.flatMap(encodeMessage)
const publishArgs = (delayed: readonly string[], all: readonly Message[]): (string | number)[] => [
  delayed.length,
  ...delayed,
  ...all.flatMap((message) => {
    const fields = encodeMessage(message)
    return [fields.length, ...fields]
  }),
]

async function addDelayed(redis: RedisClient, key: string, id: string, ...all: Message[]): Promise<string> {
  return (await redis.xadd(key, id, ...fieldsOf(...all)))!
}

test('publish adds one entry per message and deletes the delay entries', async () => {
  const { redis, partition } = await open()
  const { main, delay } = partition.keys
  const kept = await addDelayed(redis, delay, '*', { id: 'other' })
  const delayed = await addDelayed(redis, delay, '*', { id: '1' }, { id: '2' })
  const all = [{ id: '1', payload: '{"a":"ü"}' }, { id: '2' }]
  expect(await runScript(redis, 'publish', [main, delay], publishArgs([delayed], all))).toBe(2)
  expect((await entriesIn(redis, main)).map(({ fields }) => fields)).toEqual([
    ['id', '1', 'payload', '{"a":"ü"}'],
    ['id', '2'],
  ])
  expect((await entriesIn(redis, delay)).map(({ id }) => id)).toEqual([kept])
})

test('publish adds nothing without messages, and takes delay entries that are gone', async () => {
  const { redis, partition } = await open()
  const { main, delay } = partition.keys
  const delayed = await addDelayed(redis, delay, '*', { id: '1' })
  expect(await runScript(redis, 'publish', [main, delay], publishArgs([delayed, '1-1'], []))).toBe(0)
  expect(await redis.xlen(delay)).toBe(0)
  expect(await redis.exists(main)).toBe(0)
})

test('publish leaves the delay entries when a message cannot be added', async () => {
  const { redis, partition } = await open()
  const { main, delay } = partition.keys
  await redis.set(main, 'not a stream')
  const delayed = await addDelayed(redis, delay, '*', { id: '1' })
  const published = runScript(redis, 'publish', [main, delay], publishArgs([delayed], [{ id: '1' }]))
  await expect(published).rejects.toThrow(/WRONGTYPE/)
  expect(await idsIn(redis, delay)).toEqual(['1'])
})

test('publish is one step: nobody sees a message in both streams, or in none', async () => {
  const { redis, partition, url, logger } = await open()
  const { main, delay } = partition.keys
  const rows = Array.from({ length: 200 }, (_, index) => `${index}`)
  const delayed = await Promise.all(rows.map((id) => addDelayed(redis, delay, '*', { id })))
  const observer = openConnections(url, logger).commands
  const published = new AbortController()
  const sums = new Set<number>()
  const observed = (async () => {
    do {
      const reply = await observer.multi().xlen(main).xlen(delay).exec()
      sums.add(reply!.reduce((sum, [, length]) => sum + Number(length), 0))
    } while (!published.signal.aborted)
  })()
  for (const [index, id] of rows.entries())
    await runScript(redis, 'publish', [main, delay], publishArgs([delayed[index]!], [{ id }]))
  published.abort()
  await observed
  expect([...sums]).toEqual([200])
})

test('requeue "due" moves what is old enough by the clock of Redis, and nothing younger', async () => {
  const { redis, partition } = await open()
  const { main, delay } = partition.keys
  const now = await redisNow(redis)
  await addDelayed(
    redis,
    delay,
    `${now - 9_000}-0`,
    { id: '1', payload: '{"a":1}' },
    { id: '2' },
    { id: '3', payload: '{}' },
  )
  await addDelayed(redis, delay, `${now - 6_000}-7`, { id: '4' })
  await addDelayed(redis, delay, `${now + 30_000}-0`, { id: '5' })
  expect(await runScript(redis, 'requeue', [delay, main], ['due', 5_000, 5_000, 'all', ''])).toEqual([
    4,
    2,
    `${now - 6_000}-7`,
  ])
  expect((await entriesIn(redis, main)).map(({ fields }) => fields)).toEqual([
    ['id', '1', 'payload', '{"a":1}'],
    ['id', '2'],
    ['id', '3', 'payload', '{}'],
    ['id', '4'],
  ])
  expect(await idsIn(redis, delay)).toEqual(['5'])
  expect(await runScript(redis, 'requeue', [delay, main], ['due', 5_000, 5_000, 'all', ''])).toEqual([
    0,
    0,
    '',
  ])
})

test('requeue "due" takes every entry of the last due millisecond, and none with a delay longer than time itself', async () => {
  const { redis, partition } = await open()
  const { main, delay } = partition.keys
  const now = await redisNow(redis)
  for (const sequence of [0, 1, 2])
    await addDelayed(redis, delay, `${now}-${sequence}`, { id: `${sequence}` })
  expect(await runScript(redis, 'requeue', [delay, main], ['due', 1e15, 5_000, 'all', ''])).toEqual([
    0,
    0,
    '',
  ])
  expect(await runScript(redis, 'requeue', [delay, main], ['due', 0, 5_000, 'all', ''])).toEqual([
    3,
    3,
    `${now}-2`,
  ])
})

test('requeue "due" stops between entries when it has moved enough messages', async () => {
  const { redis, partition } = await open()
  const { main, delay } = partition.keys
  for (let entry = 0; entry < 30; entry++) {
    const all = Array.from({ length: 10 }, (_, index) => ({ id: `${entry * 10 + index}` }))
    await addDelayed(redis, delay, `${entry + 1}-0`, ...all)
  }
  expect(await runScript(redis, 'requeue', [delay, main], ['due', 0, 95, 'all', ''])).toEqual([
    100,
    10,
    '10-0',
  ])
  expect(await runScript(redis, 'requeue', [delay, main], ['due', 0, 200, 'all', ''])).toEqual([
    200,
    20,
    '30-0',
  ])
  expect(await idsIn(redis, main)).toEqual(Array.from({ length: 300 }, (_, index) => `${index}`))
})

test('requeue "ids" moves the named entries, however young, and passes over those that are gone', async () => {
  const { redis, partition } = await open()
  const { bulk, delay } = partition.keys
  const first = await addDelayed(redis, delay, '*', { id: '1', payload: 'x' }, { id: '2' })
  const second = await addDelayed(redis, delay, '*', { id: '3' })
  const third = await addDelayed(redis, delay, '*', { id: '4' })
  await redis.xdel(delay, second)
  expect(await runScript(redis, 'requeue', [delay, bulk], ['ids', first, second, third])).toEqual([3, 2, ''])
  expect(await runScript(redis, 'requeue', [delay, bulk], ['ids', first, second, third])).toEqual([0, 0, ''])
  expect(await idsIn(redis, bulk)).toEqual(['1', '2', '4'])
  expect(await redis.xlen(delay)).toBe(0)
})

test('requeue keeps fields that this version does not know', async () => {
  const { redis, partition } = await open()
  const { main, delay } = partition.keys
  await redis.xadd(delay, '1-0', 'id', '1', 'trace', 'id', 'payload', 'id', 'id', '2', 'trace', 'y')
  await runScript(redis, 'requeue', [delay, main], ['due', 0, 5_000, 'all', ''])
  expect((await entriesIn(redis, main)).map(({ fields }) => fields)).toEqual([
    ['id', '1', 'trace', 'id', 'payload', 'id'],
    ['id', '2', 'trace', 'y'],
  ])
})

test('requeue takes the transaction of an entry for none of its messages', async () => {
  const { redis, partition } = await open()
  const { main, delay } = partition.keys
  const fields = encodeDelayed([{ id: '1', payload: 'transaction' }, { id: '2' }], 'cluster:7')
  expect(decodeMessages(fields)).toEqual([{ id: '1', payload: 'transaction' }, { id: '2' }])
  await redis.xadd(delay, '1-0', ...fields)
  await redis.xadd(delay, '2-0', ...encodeDelayed([{ id: '3' }], 'cluster:8'))
  expect(await runScript(redis, 'requeue', [delay, main], ['due', 0, 5_000, 'all', ''])).toEqual([
    3,
    2,
    '2-0',
  ])
  await redis.xadd(delay, '3-0', ...encodeDelayed([{ id: '4' }], 'cluster:8'))
  expect(await runScript(redis, 'requeue', [delay, main], ['ids', '3-0'])).toEqual([1, 1, ''])
  expect((await entriesIn(redis, main)).map((entry) => entry.fields)).toEqual([
    ['id', '1', 'payload', 'transaction'],
    ['id', '2'],
    ['id', '3'],
    ['id', '4'],
  ])
})

test('requeue "due" can pass over entries that name a transaction, and go on where it was', async () => {
  const { redis, partition } = await open()
  const { main, delay } = partition.keys
  const due = (after: string): Promise<unknown> =>
    runScript(redis, 'requeue', [delay, main], ['due', 0, 5_000, 'unnamed', after])
  for (let entry = 1; entry <= 75; entry++)
    await redis.xadd(delay, `${entry}-0`, ...encodeDelayed([{ id: `${entry}` }], 'cluster:7'))
  await addDelayed(redis, delay, '76-0', { id: '76' })
  await redis.xadd(delay, '77-0', ...encodeDelayed([{ id: '77' }], 'cluster:7'))
  // It does not read all of them at once.
  expect(await due('')).toEqual([0, 0, '50-0'])
  expect(await due('50-0')).toEqual([1, 1, '77-0'])
  expect(await due('77-0')).toEqual([0, 0, '77-0'])
  await addDelayed(redis, delay, '78-0', { id: '78' })
  expect(await due('77-0')).toEqual([1, 1, '78-0'])
  expect(await idsIn(redis, main)).toEqual(['76', '78'])
  expect(await redis.xlen(delay)).toBe(76)
})

test('named finds the entries that name a transaction, a page at a time, and only those that are old enough', async () => {
  const { redis, partition } = await open()
  const { delay } = partition.keys
  const now = await redisNow(redis)
  const named = async (ageMs: number, after: string): Promise<unknown[]> => {
    const [clock, ...rest] = (await runScript(redis, 'named', [delay], [ageMs, after, 2])) as unknown[]
    expect(Number(clock)).toBeGreaterThanOrEqual(now)
    return rest
  }
  expect(await named(0, '')).toEqual(['', 0])
  await addDelayed(redis, delay, '1-0', { id: '1' })
  await redis.xadd(delay, '2-0', ...encodeDelayed([{ id: '2' }], 'cluster:7'))
  await redis.xadd(delay, '3-0', ...encodeDelayed([{ id: '3' }], 'cluster:8'))
  await redis.xadd(delay, `${now + 30_000}-0`, ...encodeDelayed([{ id: '4' }], 'cluster:9'))
  expect(await named(1_000, '')).toEqual(['2-0', 1, '2-0', 'cluster:7'])
  expect(await named(1_000, '2-0')).toEqual(['3-0', 0, '3-0', 'cluster:8'])
  expect(await named(1_000, '3-0')).toEqual(['3-0', 0])
})

test('requeue moves entries of the largest size that is written', async () => {
  const { redis, partition } = await open()
  const { main, delay } = partition.keys
  const all = Array.from({ length: 500 }, (_, index) => ({ id: `${index}`, payload: 'x'.repeat(100) }))
  await addDelayed(redis, delay, '1-0', ...all)
  expect(await runScript(redis, 'requeue', [delay, main], ['due', 0, 5_000, 'all', ''])).toEqual([
    500,
    1,
    '1-0',
  ])
  expect(await idsIn(redis, main)).toEqual(all.map(({ id }) => id))
})

test('acknowledge leaves everything to settle when there are dead letters', async () => {
  const stream = await open()
  const { redis, partition, writer } = stream
  const { main, deadLetters } = partition.keys
  const rows = rowIds(2_345)
  await writer.publish(messages(rows), 'main')
  await readAs(stream, 'm', rows.length)
  const ids = (await entriesIn(redis, main)).map(({ id }) => id).join(' ')
  await bury(redis, partition, [{ id: '1', type: 'x', reason: 'x' }], '7', 1_000)
  expect(await runScript(redis, 'acknowledge', [main, deadLetters], ['index', ids])).toBe(-1)
  expect(await pendingIn(redis, main, 'index')).toBe(2_345)
  await discardLetters(redis, partition, ['1'])
  expect(await runScript(redis, 'acknowledge', [main, deadLetters], ['index', ids])).toBe(2_345)
  expect(await pendingIn(redis, main, 'index')).toBe(0)
  expect(await runScript(redis, 'acknowledge', [main, deadLetters], ['index', ''])).toBe(0)
})

test('settle acknowledges entries of its group only, and removes the dead letters of its rows only', async () => {
  const stream = await open()
  const { redis, partition, writer } = stream
  const { main, deadLetters } = partition.keys
  await writer.publish([{ id: '1' }, { id: '2' }, { id: '3' }], 'main')
  await readAs(stream, 'm', 10, 'main', 'index')
  await readAs(stream, 'm', 10, 'main', 'cache')
  await bury(
    redis,
    partition,
    [
      { id: '1', type: 'document_failed', reason: 'x' },
      { id: '2', type: 'document_failed', reason: 'y' },
    ],
    '7',
    1_000,
  )
  const [first, second] = (await entriesIn(redis, main)).map(({ id }) => id)
  const args = ['index', 2, first!, second!, '8', 2, '1', 'unknown']
  expect(await runScript(redis, 'settle', [main, deadLetters], args)).toBe(2)
  expect(await pendingIn(redis, main, 'index')).toBe(1)
  expect(await pendingIn(redis, main, 'cache')).toBe(3)
  expect(await redis.hkeys(deadLetters)).toEqual(['2'])
  expect(await runScript(redis, 'settle', [main, deadLetters], args)).toBe(0)
})

test('settle leaves the dead letters of later tickets, whatever number of tickets it is told of', async () => {
  const { redis, partition } = await open()
  const { main, deadLetters } = partition.keys
  await createGroup(redis, partition, 'index')
  // Tickets are beyond what cjson writes exactly as a number.
  const ticket = (n: number): string => String(1_790_000_000_000_000 + n)
  for (const [id, n] of [
    ['1', 5],
    ['2', 6],
    ['3', 7],
    ['4', 8],
    ['5', 9],
  ] as const)
    // prettier-ignore
    await bury(redis, partition, [{ id, type: 'x', reason: 'x' }], ticket(n), 1_000)
  const rows = [ticket(6), 2, '1', '2', ticket(7), 0, ticket(9), 3, '3', '4', '5']
  expect(await runScript(redis, 'settle', [main, deadLetters], ['index', 0, ...rows])).toBe(0)
  expect((await redis.hkeys(deadLetters)).sort()).toEqual(['2', '5'])
})

test('bury leaves a letter of a later ticket as it is', async () => {
  const { redis, partition } = await open()
  const letter = { id: '1', type: 'newer', reason: 'x' }
  expect(await bury(redis, partition, [letter], '1790000000000002', 1)).toEqual([])
  expect(await bury(redis, partition, [{ ...letter, type: 'older' }], '1790000000000001', 1)).toEqual([])
  expect(await deadLetterOf(redis, partition, '1')).toMatchObject({ type: 'newer', attempts: 1 })
  // The same attempt, because the first reply was lost.
  expect(await bury(redis, partition, [letter], '1790000000000002', 1)).toEqual([])
  expect(await deadLetterOf(redis, partition, '1')).toMatchObject({ type: 'newer', attempts: 1 })
  expect(await bury(redis, partition, [{ ...letter, type: 'later' }], '1790000000000003', 1)).toEqual([])
  expect(await deadLetterOf(redis, partition, '1')).toMatchObject({ type: 'later', attempts: 2 })
})

test('as many letters as there may be are discarded', async () => {
  const { redis, partition } = await open()
  const ids = rowIds(150_000)
  await bury(
    redis,
    partition,
    [1, 150_000].map((id) => ({ id: `${id}`, type: 'x', reason: 'x' })),
    '7',
    10,
  )
  expect(await discardLetters(redis, partition, ids)).toBe(2)
})

test('settle takes more entries and rows than Lua can unpack at once', async () => {
  const stream = await open()
  const { redis, partition, writer } = stream
  const { main, deadLetters } = partition.keys
  const rows = rowIds(20_000)
  await writer.publish(messages(rows), 'main')
  await readAs(stream, 'm', rows.length)
  await redis.hset(
    deadLetters,
    ...rows.slice(0, 12_345).flatMap((id) => [id, '{"ticket":"7"}']),
    'kept',
    '{}',
  )
  const ids = (await entriesIn(redis, main)).map(({ id }) => id)
  const args = ['index', ids.length, ...ids, '8', rows.length, ...rows]
  expect(await runScript(redis, 'settle', [main, deadLetters], args)).toBe(20_000)
  expect(await pendingIn(redis, main)).toBe(0)
  expect(await redis.hkeys(deadLetters)).toEqual(['kept'])
})

test('bury writes a dead letter, and counts the attempts of one that exists', async () => {
  const { redis, partition } = await open()
  const { deadLetters } = partition.keys
  const letter = async (): Promise<Record<string, unknown>> =>
    JSON.parse((await redis.hget(deadLetters, 'ü:1'))!) as Record<string, unknown>
  const before = await redisNow(redis)
  await bury(
    redis,
    partition,
    [{ id: 'ü:1', type: 'mapper_parsing_exception', reason: 'no "geo"\n/point/ ✗' }],
    '7',
    1_000,
  )
  const first = await letter()
  expect(first).toEqual({
    attempts: 1,
    firstAt: first['firstAt'],
    lastAt: first['firstAt'],
    ticket: '7',
    type: 'mapper_parsing_exception',
    reason: 'no "geo"\n/point/ ✗',
  })
  expect(first['firstAt']).toBeGreaterThanOrEqual(before)
  expect(first['firstAt']).toBeLessThanOrEqual(await redisNow(redis))
  await eventually(async () => expect(await redisNow(redis)).toBeGreaterThan(Number(first['firstAt'])))
  await bury(
    redis,
    partition,
    [{ id: 'ü:1', type: 'document_failed', reason: 'r'.repeat(10_000) }],
    '8',
    1_000,
  )
  const second = await letter()
  expect(second).toMatchObject({ attempts: 2, firstAt: first['firstAt'], type: 'document_failed' })
  expect(second['lastAt']).toBeGreaterThan(Number(first['lastAt']))
  expect(second['reason']).toHaveLength(2_000)
})

test('heartbeat forgets workers that have been silent for long', async () => {
  const stream = await open()
  const { redis, namespace, logger } = stream
  const key = workersKey(namespace)
  const now = await redisNow(redis)
  const silent = (at: number): string => JSON.stringify({ kind: 'consumer', host: 'h', pid: 1, at })
  await redis.hset(key, 'long-gone', silent(now - 61_000), 'lately-gone', silent(now - 30_000))
  const heartbeat = new Heartbeat(redis, namespace, 'trimmer', logger)
  await heartbeat.start()
  // What is not cleaned away yet is not shown either.
  await redis.hset(key, 'gone-since', silent(now - 61_000))
  const beats = await readHeartbeats(redis, namespace)
  expect(beats.map(({ member }) => member).sort()).toEqual(['lately-gone', heartbeat.member].sort())
  expect(beats.find(({ member }) => member === 'lately-gone')?.seenMs).toBeGreaterThanOrEqual(30_000)
  const own = beats.find(({ member }) => member === heartbeat.member)
  expect(own).toMatchObject({ kind: 'trimmer', pid: process.pid })
  await heartbeat.stop()
  expect((await redis.hkeys(key)).sort()).toEqual(['gone-since', 'lately-gone'])
})

test('leave removes a member that holds nothing, and no other', async () => {
  const stream = await open()
  const { redis, partition, writer } = stream
  const { main, deadLetters } = partition.keys
  await writer.publish([{ id: '1' }], 'main')
  await readAs(stream, 'busy', 10)
  await readAs(stream, 'idle', 10)
  await redis.xgroup('CREATECONSUMER', main, 'index', 'idle')
  const leave = (member: string): Promise<unknown> => runScript(redis, 'leave', [main], ['index', member])
  expect(await leave('busy')).toBe(0)
  expect(await leave('idle')).toBe(1)
  expect(await leave('unknown')).toBe(1)
  expect(await membersOf(stream)).toEqual(['busy'])
  expect(await pendingIn(redis, main)).toBe(1)
  const [entry] = await entriesIn(redis, main)
  await runScript(redis, 'settle', [main, deadLetters], ['index', 1, entry!.id])
  expect(await leave('busy')).toBe(1)
  expect(await membersOf(stream)).toEqual([])
})

test('a heartbeat of a kind that this version does not know hides nobody else', async () => {
  const stream = await open()
  const { redis, namespace } = stream
  await beatAs(stream, 'known')
  const newer = JSON.stringify({ kind: 'relay', host: 'h', pid: 1, at: await redisNow(redis), load: 3 })
  await redis.hset(workersKey(namespace), 'newer', newer)
  const beats = await readHeartbeats(redis, namespace)
  expect(beats.map(({ member }) => member).sort()).toEqual(['known', 'newer'])
})
