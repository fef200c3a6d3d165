/**
 * A backlog of messages and one consumer process: does its memory stay flat, what does a message cost Redis, how fast
 * does it drain, and is the stream trimmed to nothing afterwards.
 *
 * Run: npm run bench:backlog [-- --messages 1000000]   (a Redis of its own; the other servers from the environment, or
 * embedded)
 */
import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'

import { startRedis } from '../services/services.ts'
import { Redstream } from '../src/redstream.ts'
import { openStage, report, round, tell, until, type Stage } from './stage.ts'

const { values } = parseArgs({ options: { messages: { type: 'string', default: '1000000' } } })
const messages = Number(values.messages)
const mebibyte = 1024 * 1024
const patienceMs = 30 * 60_000

// Its memory is that of this run alone.
const redisServer = await startRedis({ progress: tell })
process.env['REDIS_URL'] = redisServer.url
let stage: Stage | undefined
try {
  stage = await openStage()
  report(await measure(stage))
} finally {
  await stage?.close()
  await redisServer.stop()
}

async function measure(stage: Stage): Promise<Record<string, unknown>> {
  const { dataSource, redis, partition, elasticsearch, index, start } = stage
  const { main } = partition.keys
  tell(`${messages} rows`)
  await dataSource.query(
    `INSERT INTO ${stage.space}.cities (id, name, population) SELECT i, 'city ' || i, i FROM generate_series(1, $1) i`,
    [messages],
  )
  const empty = await usedMemory(stage)
  await queueAll(stage)
  const waiting = await usedMemory(stage)

  tell('one consumer, one trimmer')
  const memory: number[] = []
  const seconds: number[] = []
  let redisPeak = waiting
  const trimmer = await start('trimmer')
  const consumer = await start('consumer')
  const began = performance.now()
  await until(
    async () => {
      memory.push(await residentBytes(consumer.pid))
      seconds.push((performance.now() - began) / 1_000)
      redisPeak = Math.max(redisPeak, await usedMemory(stage))
      if (!consumer.alive) throw new Error(`the consumer ended: ${await stage.logOf(consumer)}`)
      const { streams } = await stage.pipeline.status()
      return streams.every(({ main: lane }) => lane.undelivered + lane.pending === 0)
    },
    patienceMs,
    'the backlog is not done',
    200,
  )
  const drained = seconds.at(-1)!
  await until(async () => (await redis.xlen(main)) === 0, 60_000, 'the stream is not trimmed')
  const trimmed = (performance.now() - began) / 1_000
  await elasticsearch.indices.refresh({ index })
  const { count } = await elasticsearch.count({ index })
  const at = (share: number): number => round(memory[Math.floor((memory.length - 1) * share)]! / mebibyte)
  const result = {
    messages,
    documents: count,
    seconds: round(drained),
    docsPerSecond: Math.round(messages / drained),
    consumer: {
      peakMiB: round((await peakBytes(consumer.pid)) / mebibyte),
      atTenthsOfTheRunMiB: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1].map(at),
      restarts: consumer.alive ? 0 : 1,
    },
    redis: {
      bytesPerMessage: round((waiting - empty) / messages),
      backlogMiB: round((waiting - empty) / mebibyte),
      peakMiB: round((redisPeak - empty) / mebibyte),
      afterwardsMiB: round(((await usedMemory(stage)) - empty) / mebibyte),
    },
    trimmed: { entriesLeft: await redis.xlen(main), secondsAfterTheLast: round(trimmed - drained) },
  }
  for (const child of [consumer, trimmer]) child.stop()
  await Promise.all([consumer.exit, trimmer.exit])
  return result
}

async function usedMemory({ redis }: Stage): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1])
}

async function queueAll({ dataSource, City, redisUrl, space }: Stage): Promise<void> {
  const redstream = await Redstream.attach(dataSource, { redis: redisUrl, namespace: space })
  const page = 10_000
  for (let first = 1; first <= messages; first += page) {
    const count = Math.min(page, messages - first + 1)
    await redstream.producer.queue(
      City,
      Array.from({ length: count }, (_, i) => first + i),
    )
  }
  await redstream.close()
}

/** Memory of a process from /proc, which Linux alone has. */
async function statusOf(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? NaN) * 1024
}

function residentBytes(pid: number): Promise<number> {
  return statusOf(pid, 'VmRSS')
}

function peakBytes(pid: number): Promise<number> {
  return statusOf(pid, 'VmHWM')
}
