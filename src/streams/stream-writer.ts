import { Cluster } from 'ioredis'
import { z } from 'zod'

import { partitionOf } from '../capture/row-key.ts'
import { RedstreamError } from '../errors.ts'
import type { Events } from '../runtime/events.ts'
import type { Lane, Partition } from './keys.ts'
import { encodeDelayed, encodeMessage, type Message } from './message.ts'
import { runScript, type RedisClient } from './scripts.ts'
import type { TransactionText } from './transaction.ts'

/** An entry in a delay stream, to be deleted or moved later. */
export interface DelayEntry {
  readonly partition: Partition
  readonly id: string
}

/** Redis' WAIT after writes: how many replicas must have them, and how long to wait for that, in ms. */
export interface WaitOptions {
  readonly replicas: number
  readonly timeoutMs: number
}

// One script call blocks Redis for about 1 µs per message and argument.
const messagesPerCall = 5_000
// A function call of JavaScript takes some 100,000 arguments at most.
const idsPerCall = 10_000
/** Most messages in one entry of a delay stream: few enough that the Delayer can stop between entries. */
export const messagesPerDelayEntry = 500

const mostWaiting = 100_000
const rememberWaitingMs = 3_600_000

/** What requeue.lua returns: messages and entries moved, and how far it has looked. */
const movedSchema = z.tuple([z.number(), z.number(), z.string()])

/** Writes the messages of one stream, spread over its partitions. */
export class StreamWriter {
  readonly partitions: readonly Partition[]
  readonly #redis: RedisClient
  readonly #wait: WaitOptions | undefined
  readonly #events: Events | undefined

  constructor(redis: RedisClient, partitions: readonly Partition[], wait?: WaitOptions, events?: Events) {
    this.#redis = redis
    this.partitions = partitions
    this.#wait = wait
    this.#events = events
  }

  /**
   * Adds messages to the delay stream; when this resolves, Redis has them.
   *
   * @param transaction - whose commit makes the changes true, where it is known
   */
  async delay(messages: readonly Message[], transaction?: TransactionText): Promise<DelayEntry[]> {
    const writes: Promise<DelayEntry>[] = []
    for (const [partition, ofPartition] of this.#byPartition(messages)) {
      for (const chunk of chunks(ofPartition, messagesPerDelayEntry)) {
        writes.push(this.#addDelayed(partition, chunk, transaction))
      }
    }
    const [entries] = await Promise.all([Promise.all(writes), this.#replicated(messages.length)])
    return entries
  }

  async #addDelayed(
    partition: Partition,
    messages: readonly Message[],
    transaction: TransactionText | undefined,
  ): Promise<DelayEntry> {
    const fields = encodeDelayed(messages, transaction)
    const id = await this.#redis.xadd(partition.keys.delay, '*', ...fields)
    if (id === null) throw new TypeError('XADD gave no id')
    return { partition, id }
  }

  /**
   * Adds messages to a lane and deletes the delay entries that stood for them. One step per partition, unless there are
   * too many for one call: then no delay entry goes before every message is in the lane.
   */
  async publish(
    messages: readonly Message[],
    lane: Lane,
    needless: readonly DelayEntry[] = [],
  ): Promise<void> {
    await this.#telling(lane, messages.length, async () => {
      await this.#publish(messages, lane, needless)
      return messages.length
    })
  }

  async #publish(messages: readonly Message[], lane: Lane, needless: readonly DelayEntry[]): Promise<void> {
    const groups = new Map<Partition, { messages: readonly Message[]; delayed: string[] }>()
    for (const partition of this.partitions) groups.set(partition, { messages: [], delayed: [] })
    for (const [partition, ofPartition] of this.#byPartition(messages))
      groups.get(partition)!.messages = ofPartition
    for (const entry of needless) groups.get(entry.partition)?.delayed.push(entry.id)

    const published = [...groups].map(async ([partition, group]) => {
      const keys = [partition.keys[lane], partition.keys.delay]
      const call = (delayed: readonly string[], added: readonly Message[]): Promise<unknown> =>
        runScript(this.#redis, 'publish', keys, [delayed.length, ...delayed, ...flatten(added)])
      const all = chunks(group.messages, messagesPerCall)
      const last = all.pop() ?? []
      const [delayed = [], ...more] = chunks(group.delayed, idsPerCall)
      // One after the other: each has the whole timeout for itself, and the delay entries, which may stand for messages
      // of any chunk, go only when all others are in the lane.
      for (const chunk of all) await call([], chunk)
      if (last.length > 0 || delayed.length > 0) await call(delayed, last)
      for (const chunk of more) await call(chunk, [])
    })
    // WAIT covers only what was sent before it, and the last chunk of a partition is sent when the others are answered.
    await Promise.all(published)
    await this.#replicated(messages.length)
  }

  /**
   * Adds messages to a lane, except those of rows that wait there already because of an earlier call. Some 100,000 rows
   * of a partition and lane are remembered, for an hour after the last call: some 10 MB in Redis.
   *
   * @param passes - a group that has no use for these messages; its reading them means nothing
   */
  async queue(messages: readonly Message[], lane: Lane, passes: string): Promise<void> {
    await this.#telling(lane, messages.length, async () => {
      const calls = this.#byPartition(messages).flatMap(([{ keys }, ofPartition]) =>
        chunks(ofPartition, messagesPerCall).map((chunk) =>
          runScript(
            this.#redis,
            'queue',
            [keys[lane], lane === 'main' ? keys.mainWaiting : keys.bulkWaiting],
            [passes, mostWaiting, rememberWaitingMs, ...flatten(chunk)],
          ),
        ),
      )
      const added = (await Promise.all(calls)).map((reply) => z.number().parse(reply))
      await this.#replicated(messages.length)
      return added.reduce((sum, number) => sum + number, 0)
    })
  }

  /**
   * Moves delay entries to a lane now.
   *
   * @returns how many of them the Delayer had moved already, or somebody deleted
   */
  async move(entries: readonly DelayEntry[], lane: Lane): Promise<number> {
    const groups = Map.groupBy(entries, (entry) => entry.partition)
    let gone = entries.length
    await this.#telling(lane, entries.length, async () => {
      const replies = await Promise.all(
        [...groups].flatMap(([partition, ofPartition]) =>
          chunks(ofPartition, messagesPerCall / messagesPerDelayEntry).map((chunk) =>
            runScript(
              this.#redis,
              'requeue',
              [partition.keys.delay, partition.keys[lane]],
              ['ids', ...chunk.map((entry) => entry.id)],
            ),
          ),
        ),
      )
      let messages = 0
      for (const reply of replies) {
        const [ofChunk, moved] = movedSchema.parse(reply)
        messages += ofChunk
        gone -= moved
      }
      return messages
    })
    return gone
  }

  /** @param attempted - how many messages are to be added, at least; `add` returns how many there were */
  async #telling(lane: Lane, attempted: number, add: () => Promise<number>): Promise<void> {
    const stream = this.partitions[0]?.stream ?? ''
    try {
      const messages = await add()
      if (messages > 0) this.#events?.tell('published', { stream, lane, messages })
    } catch (error) {
      this.#events?.tell('publishFailed', { stream, lane, messages: attempted, error })
      throw error
    }
  }

  /** Deletes delay entries whose transaction was rolled back. */
  async discard(entries: readonly DelayEntry[]): Promise<void> {
    const groups = Map.groupBy(entries, (entry) => entry.partition)
    await Promise.all(
      [...groups].map(async ([partition, ofPartition]) => {
        for (const chunk of chunks(ofPartition, idsPerCall))
          await this.#redis.xdel(partition.keys.delay, ...chunk.map((entry) => entry.id))
      }),
    )
  }

  #byPartition(messages: readonly Message[]): [Partition, readonly Message[]][] {
    if (this.partitions.length === 1) return messages.length === 0 ? [] : [[this.partitions[0]!, messages]]
    const groups = Map.groupBy(messages, (message) => partitionOf(message.id, this.partitions.length))
    return [...groups].map(([number, ofPartition]) => [this.partitions[number]!, ofPartition])
  }

  /**
   * Waits for the replicas to have what was written before on this connection.
   *
   * @throws RedstreamError REDIS_UNAVAILABLE when they do not have it in time; the messages are in Redis all the same
   */
  async #replicated(written: number): Promise<void> {
    if (this.#wait === undefined || written === 0) return
    const { replicas, timeoutMs } = this.#wait
    // WAIT has no key, and a cluster would ask any node.
    const primaries = this.#redis instanceof Cluster ? this.#redis.nodes('master') : [this.#redis]
    const reached = Math.min(...(await Promise.all(primaries.map((node) => node.wait(replicas, timeoutMs)))))
    if (reached < replicas) {
      throw new RedstreamError(
        'REDIS_UNAVAILABLE',
        `only ${reached} of ${replicas} replicas had the messages after ${timeoutMs} ms; ` +
          'see to the replicas, or change `wait`',
      )
    }
  }
}

function flatten(messages: readonly Message[]): (string | number)[] {
  const values: (string | number)[] = []
  for (const message of messages) {
    const fields = encodeMessage(message)
    values.push(fields.length, ...fields)
  }
  return values
}

function chunks<T>(items: readonly T[], size: number): (readonly T[])[] {
  if (items.length <= size) return items.length === 0 ? [] : [items]
  const result: T[][] = []
  for (let start = 0; start < items.length; start += size) result.push(items.slice(start, start + size))
  return result
}
