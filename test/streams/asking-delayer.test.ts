import { expect, onTestFinished, test, vi } from 'vitest'

import { Delayer, type DelayerOptions } from '../../src/streams/delayer.ts'
import { encodeDelayed } from '../../src/streams/message.ts'
import type { OpenTransactions, TransactionState, TransactionText } from '../../src/streams/transaction.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import {
  eventually,
  idsIn,
  messages,
  openConnections,
  redisNow,
  rowIds,
  start,
  useStreams,
} from '../support/streams.ts'
import type { TestStream } from '../support/streams.ts'

const open = useStreams()

/** What the database says, as the test decides; {@link questions} are those that it was asked. */
class Answers {
  readonly states: Record<TransactionText, TransactionState> = {}
  readonly questions: TransactionText[][] = []
  failure: Error | undefined
  /** Names of the transactions that are open; undefined: it cannot say. */
  names: string[] | undefined = []

  async of(transactions: readonly TransactionText[]): Promise<Map<TransactionText, TransactionState>> {
    this.questions.push([...transactions].sort())
    if (this.failure !== undefined) throw this.failure
    return new Map(transactions.flatMap((one) => (one in this.states ? [[one, this.states[one]!]] : [])))
  }

  async open(): Promise<OpenTransactions | undefined> {
    if (this.failure !== undefined) throw this.failure
    return this.names && { cluster: 'c', names: new Set(this.names) }
  }
}

function delayerOf(stream: TestStream, answers: Answers, choices: Partial<DelayerOptions> = {}): Delayer {
  const { redis, namespace, partitions, logger } = stream
  return new Delayer({
    redis,
    namespace,
    partitions,
    delayMs: 60_000,
    transactions: answers,
    logger,
    ...choices,
  })
}

/** Writes a delay entry that is `ageMs` old. */
async function delayed(
  { redis, partition }: TestStream,
  ids: readonly string[],
  ageMs: number,
  transaction?: TransactionText,
): Promise<void> {
  const at = (await redisNow(redis)) - ageMs
  await redis.xadd(partition.keys.delay, `${at}-*`, ...encodeDelayed(messages(ids), transaction))
}

/** Waits until everything that is in the delay streams is old enough to be asked about. */
async function comeOfAge({ redis, partitions }: TestStream): Promise<void> {
  await eventually(async () => {
    const now = await redisNow(redis)
    for (const { keys } of partitions) {
      const [newest] = await redis.xrevrange(keys.delay, '+', '-', 'COUNT', 1)
      expect(now - Number(newest?.[0].split('-')[0] ?? 0)).toBeGreaterThan(1_000)
    }
  })
}

test('moves the entries of committed transactions, deletes those of aborted ones, and leaves open ones', async () => {
  const stream = await open()
  const { redis, partition } = stream
  const answers = new Answers()
  Object.assign(answers.states, { 'c:1': 'committed', 'c:2': 'aborted', 'c:3': 'in progress' })
  // Open for an hour, which is longer than the delay.
  await delayed(stream, ['open'], 3_600_000, 'c:3')
  await delayed(stream, ['a', 'b'], 3_000, 'c:1')
  await delayed(stream, ['c'], 2_900, 'c:2')
  await delayed(stream, ['d'], 2_800, 'c:1')
  const delayer = delayerOf(stream, answers)
  expect(await delayer.runOnce()).toBe(3)
  expect(answers.questions).toEqual([['c:1', 'c:2', 'c:3']])
  expect(await idsIn(redis, partition.keys.main)).toEqual(['a', 'b', 'd'])
  expect(await idsIn(redis, partition.keys.delay)).toEqual(['open'])
  expect(stream.log.filter(({ level }) => level === 'warn')).toMatchObject([
    { facts: { transaction: 'c:3' } },
  ])

  expect(await delayer.runOnce()).toBe(0)
  answers.states['c:3'] = 'committed'
  expect(await delayer.runOnce()).toBe(1)
  expect(answers.questions.slice(1)).toEqual([['c:3'], ['c:3']])
  expect(await redis.xlen(partition.keys.delay)).toBe(0)
  expect(await delayer.runOnce()).toBe(0)
  // It was said once, and nobody is asked about nothing.
  expect(stream.log.filter(({ level }) => level === 'warn')).toHaveLength(1)
  expect(answers.questions).toHaveLength(3)
})

test('does not ask about an entry whose publish may be on its way', async () => {
  const stream = await open()
  const answers = new Answers()
  answers.states['c:1'] = 'committed'
  await stream.writer.delay(messages(['1']), 'c:1')
  expect(await delayerOf(stream, answers).runOnce()).toBe(0)
  expect(answers.questions).toEqual([])
  const { delay, main } = stream.partition.keys
  start(delayerOf(stream, answers))
  await eventually(async () => expect(await idsIn(stream.redis, main)).toEqual(['1']))
  expect(await stream.redis.xlen(delay)).toBe(0)
})

test('an entry without an id is re-queued when all transactions have ended that it may belong to', async () => {
  const stream = await open()
  const { redis, partition } = stream
  const { main, delay } = partition.keys
  const answers = new Answers()
  const delayer = delayerOf(stream, answers)
  answers.names = ['1/1', '2/7']
  await delayed(stream, ['a'], 3_000, 'c:')
  expect(await delayer.runOnce()).toBe(0)
  // Others have begun since, and the next entry may belong to them.
  answers.names = ['2/7', '3/3']
  await delayed(stream, ['b'], 2_000, 'c:')
  expect(await delayer.runOnce()).toBe(0)
  answers.names = ['3/3', '1/2']
  expect(await delayer.runOnce()).toBe(1)
  expect(await idsIn(redis, main)).toEqual(['a'])
  answers.names = ['1/2']
  expect(await delayer.runOnce()).toBe(1)
  expect(await idsIn(redis, main)).toEqual(['a', 'b'])
  // Nobody else is at work: at once.
  answers.names = []
  await delayed(stream, ['c'], 1_500, 'c:')
  expect(await delayer.runOnce()).toBe(1)
  expect(await redis.xlen(delay)).toBe(0)
  expect(answers.questions).toEqual([])
})

test('an entry without an id goes by its age while somebody else holds it up, or nobody can say', async () => {
  const stream = await open()
  const { redis, partition } = stream
  const answers = new Answers()
  answers.names = ['1/1']
  await delayed(stream, ['old'], 61_000, 'c:')
  await delayed(stream, ['young'], 30_000, 'c:')
  await delayed(stream, ['elsewhere'], 29_000, 'another:')
  const delayer = delayerOf(stream, answers)
  expect(await delayer.runOnce()).toBe(1)
  expect(await idsIn(redis, partition.keys.main)).toEqual(['old'])
  // What cannot be seen has not ended.
  answers.names = undefined
  expect(await delayer.runOnce()).toBe(0)
  answers.names = ['1/1']
  expect(await delayer.runOnce()).toBe(0)
  answers.names = []
  expect(await delayer.runOnce()).toBe(1)
  expect(await idsIn(redis, partition.keys.delay)).toEqual(['elsewhere'])
})

test('what is known of many entries is kept once', async () => {
  const stream = await open()
  const { redis, partition } = stream
  const at = (await redisNow(redis)) - 10_000
  const writes = redis.pipeline()
  for (const id of rowIds(2_000))
    writes.xadd(partition.keys.delay, `${at}-${id}`, ...encodeDelayed([{ id }], 'c:'))
  await writes.exec()
  let looked = 0
  class Names extends Set<string> {
    override has(name: string): boolean {
      looked++
      return super.has(name)
    }
  }
  const answers = new Answers()
  const names = rowIds(100)
  const transactionsOpen = async (): Promise<OpenTransactions> => ({ cluster: 'c', names: new Names(names) })
  const delayer = delayerOf(stream, answers, {
    transactions: { of: (some) => answers.of(some), open: transactionsOpen },
  })
  expect(await delayer.runOnce()).toBe(0)
  names.pop()
  expect(await delayer.runOnce()).toBe(0)
  expect(looked).toBe(100)
  names.length = 0
  expect(await delayer.runOnce()).toBe(2_000)
})

test('others that begin later do not hold an entry up, however long it waits', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  onTestFinished(() => void vi.useRealTimers())
  const stream = await open()
  const answers = new Answers()
  await delayed(stream, ['1'], 3_000, 'c:')
  const delayer = delayerOf(stream, answers, { delayMs: 3_600_000 })
  answers.names = ['1/1']
  expect(await delayer.runOnce()).toBe(0)
  // It looks through the whole stream anew once a minute.
  vi.advanceTimersByTime(61_000)
  answers.names = ['1/1', '2/2']
  expect(await delayer.runOnce()).toBe(0)
  answers.names = ['2/2']
  expect(await delayer.runOnce()).toBe(1)
})

test('while Redis is away, it does not wait for the database', async () => {
  const stream = await open()
  const proxy = await TcpProxy.to(stream.url)
  onTestFinished(() => proxy.close())
  const behind = openConnections(`redis://127.0.0.1:${proxy.port}`, stream.logger, 200)
  const delayer = delayerOf(stream, new Answers(), { redis: behind.commands })
  start(delayer)
  await eventually(() => expect(proxy.connections).toBe(1))
  await proxy.refuse()
  const failures = (): unknown[] =>
    stream.log.flatMap(({ message, facts }) =>
      message.startsWith('the Delayer failed') ? facts['step'] : [],
    )
  await eventually(() => expect(failures().length).toBeGreaterThan(3))
  expect(new Set(failures())).toEqual(new Set(['requeue']))
  expect(delayer.progress.report().waitsFor).toEqual(['Redis'])
  await proxy.accept()
})

test('one that could not be asked about at first has no suspects before it can', async () => {
  const stream = await open()
  const answers = new Answers()
  answers.names = undefined
  await delayed(stream, ['1'], 3_000, 'c:')
  const delayer = delayerOf(stream, answers)
  expect(await delayer.runOnce()).toBe(0)
  answers.names = ['1/1']
  expect(await delayer.runOnce()).toBe(0)
  answers.names = []
  expect(await delayer.runOnce()).toBe(1)
})

test('what nobody knows of goes by its age, and so does what names no transaction', async () => {
  const stream = await open()
  const { redis, partition } = stream
  await delayed(stream, ['old'], 61_000, 'elsewhere:1')
  await delayed(stream, ['old too'], 60_500)
  await delayed(stream, ['young'], 30_000, 'elsewhere:1')
  await delayed(stream, ['young too'], 29_000)
  const delayer = delayerOf(stream, new Answers())
  expect(await delayer.runOnce()).toBe(2)
  expect((await idsIn(redis, partition.keys.main)).sort()).toEqual(['old', 'old too'])
  expect(await idsIn(redis, partition.keys.delay)).toEqual(['young', 'young too'])
})

test('what goes by its age is found behind many that wait for their transaction', async () => {
  const stream = await open()
  const { redis, partition } = stream
  const answers = new Answers()
  answers.states['c:1'] = 'in progress'
  for (const id of rowIds(250)) await delayed(stream, [id], 120_000, 'c:1')
  await delayed(stream, ['unnamed'], 61_000)
  const delayer = delayerOf(stream, answers)
  expect(await delayer.runOnce()).toBe(1)
  expect(await idsIn(redis, partition.keys.main)).toEqual(['unnamed'])
  expect(await redis.xlen(partition.keys.delay)).toBe(250)
  answers.states['c:1'] = 'aborted'
  expect(await delayer.runOnce()).toBe(0)
  expect(await redis.xlen(partition.keys.delay)).toBe(0)
})

test('with nobody to ask, all go by their age', async () => {
  const stream = await open()
  const { redis, partition } = stream
  await delayed(stream, ['1'], 61_000, 'c:1')
  await delayed(stream, ['2'], 2_000, 'c:1')
  expect(await delayerOf(stream, new Answers(), { transactions: undefined }).runOnce()).toBe(1)
  expect(await idsIn(redis, partition.keys.main)).toEqual(['1'])
})

test('while the database is away, what names no transaction is re-queued by its age', async () => {
  const stream = await open()
  const { redis, partition, log } = stream
  const answers = new Answers()
  answers.failure = new Error('the database is away')
  await delayed(stream, ['1'], 120_000, 'c:1')
  await delayed(stream, ['2'], 110_000)
  const delayer = delayerOf(stream, answers)
  const running = start(delayer)
  const { main, delay } = partition.keys
  await eventually(async () => expect(await idsIn(redis, main)).toEqual(['2']))
  await eventually(() => expect(log.filter(({ level }) => level === 'error').length).toBeGreaterThan(1))
  expect(delayer.progress.report().waitsFor).toEqual(['the database'])
  expect(await idsIn(redis, delay)).toEqual(['1'])
  await delayed(stream, ['3'], 100_000)
  await eventually(async () => expect(await idsIn(redis, main)).toEqual(['2', '3']))

  answers.failure = undefined
  answers.states['c:1'] = 'committed'
  await eventually(async () => expect(await idsIn(redis, main)).toEqual(['2', '3', '1']))
  await running.stop()
})

test('asks once for all partitions, and about each transaction once', async () => {
  const stream = await open({ partitions: 3 })
  const { writer, partitions, redis } = stream
  const answers = new Answers()
  await writer.delay(messages(rowIds(3_000)), 'c:1')
  await writer.delay(messages(rowIds(30)), 'c:2')
  answers.states['c:1'] = 'committed'
  answers.states['c:2'] = 'aborted'
  await comeOfAge(stream)
  await delayerOf(stream, answers).runOnce()
  expect(answers.questions).toEqual([['c:1', 'c:2']])
  const ids = (await Promise.all(partitions.map(({ keys }) => idsIn(redis, keys.main)))).flat()
  expect(ids.map(Number).sort((a, b) => a - b)).toEqual(rowIds(3_000).map(Number))
  expect(await Promise.all(partitions.map(({ keys }) => redis.xlen(keys.delay)))).toEqual([0, 0, 0])
})

test('several Delayers may ask at once: each message is moved exactly once', async () => {
  const stream = await open()
  const { redis, partition } = stream
  const answers = new Answers()
  for (let i = 0; i < 1_000; i++) {
    const transaction: TransactionText = `c:${i % 300}`
    answers.states[transaction] = i % 3 === 0 ? 'aborted' : 'committed'
    await delayed(stream, [String(i)], 5_000, transaction)
  }
  const delayers = [1, 2, 3].map(() => delayerOf(stream, answers))
  const moved = await Promise.all(delayers.map((delayer) => delayer.runOnce()))
  const committed = rowIds(1_000, 0).filter((id) => Number(id) % 3 !== 0)
  expect(moved.reduce((sum, one) => sum + one, 0)).toBe(committed.length)
  const ids = await idsIn(redis, partition.keys.main)
  expect(ids.map(Number).sort((a, b) => a - b)).toEqual(committed.map(Number))
  expect(await redis.xlen(partition.keys.delay)).toBe(0)
})

test('a publish at the same moment: each message is in the main stream once or twice, and none is left', async () => {
  const stream = await open()
  const { redis, writer, partition } = stream
  const answers = new Answers()
  answers.states['c:1'] = 'committed'
  const entries = await Promise.all(rowIds(50).map((id) => writer.delay(messages([id]), 'c:1')))
  await comeOfAge(stream)
  await Promise.all([
    ...entries.map((entry, index) => writer.publish(messages([index + 1]), 'main', entry)),
    delayerOf(stream, answers).runOnce(),
  ])
  expect(new Set(await idsIn(redis, partition.keys.main))).toEqual(new Set(rowIds(50)))
  expect(await redis.xlen(partition.keys.delay)).toBe(0)
})
