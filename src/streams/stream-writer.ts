import { partitionOf } from '../capture/row-key.ts'
import type { Lane, Partition } from './keys.ts'
import { encodeMessage, type Message } from './message.ts'
import { runScript, type RedisClient } from './scripts.ts'

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
// Small enough that the Delayer can stop between entries.
const messagesPerDelayEntry = 500

/** Writes the messages of one stream, spread over its partitions. */
export class StreamWriter {
  readonly partitions: readonly Partition[]
  readonly #redis: RedisClient
  readonly #wait: WaitOptions | undefined

  constructor(redis: RedisClient, partitions: readonly Partition[], wait?: WaitOptions) {
    this.#redis = redis
    this.partitions = partitions
    this.#wait = wait
  }

  /** Adds messages to the delay stream; when this resolves, Redis has them. */
  async delay(messages: readonly Message[]): Promise<DelayEntry[]> {
    const writes = this.#byPartition(messages).flatMap(([partition, ofPartition]) =>
      chunks(ofPartition, messagesPerDelayEntry).map(async (chunk) => {
        const id = await this.#redis.xadd(partition.keys.delay, '*', ...chunk.flatMap(encodeMessage))
        if (id === null) throw new TypeError('XADD gave no id')
        return { partition, id }
      }),
    )
    const [entries] = await Promise.all([Promise.all(writes), this.#replicated(messages.length)])
    return entries
  }

  /** Adds messages to a lane and deletes the delay entries that stood for them, atomically per partition. */
  async publish(
    messages: readonly Message[],
    lane: Lane,
    needless: readonly DelayEntry[] = [],
  ): Promise<void> {
    const groups = new Map<Partition, { messages: Message[]; delayed: string[] }>()
    for (const partition of this.partitions) groups.set(partition, { messages: [], delayed: [] })
    for (const [partition, ofPartition] of this.#byPartition(messages))
      groups.get(partition)!.messages = ofPartition
    for (const entry of needless) groups.get(entry.partition)?.delayed.push(entry.id)

    const published = [...groups].map(async ([partition, group]) => {
      const keys = [partition.keys[lane], partition.keys.delay]
      const [last = [], ...rest] = chunks(group.messages, messagesPerCall).reverse()
      // The delay entries may stand for messages of any chunk, so they go only after all others are in the lane.
      await Promise.all(rest.map((chunk) => runScript(this.#redis, 'publish', keys, [0, ...flatten(chunk)])))
      if (last.length === 0 && group.delayed.length === 0) return
      await runScript(this.#redis, 'publish', keys, [
        group.delayed.length,
        ...group.delayed,
        ...flatten(last),
      ])
    })
    await Promise.all([...published, this.#replicated(messages.length)])
  }

  /** Moves delay entries to a lane now; those that the Delayer has moved already are passed over. */
  async move(entries: readonly DelayEntry[], lane: Lane): Promise<void> {
    const groups = Map.groupBy(entries, (entry) => entry.partition)
    await Promise.all(
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
  }

  /** Deletes delay entries whose transaction was rolled back. */
  async discard(entries: readonly DelayEntry[]): Promise<void> {
    const groups = Map.groupBy(entries, (entry) => entry.partition)
    await Promise.all(
      [...groups].map(([partition, ofPartition]) =>
        this.#redis.xdel(partition.keys.delay, ...ofPartition.map((entry) => entry.id)),
      ),
    )
  }

  #byPartition(messages: readonly Message[]): [Partition, Message[]][] {
    if (this.partitions.length === 1)
      return messages.length === 0 ? [] : [[this.partitions[0]!, [...messages]]]
    const groups = Map.groupBy(messages, (message) => partitionOf(message.id, this.partitions.length))
    return [...groups].map(([number, ofPartition]) => [this.partitions[number]!, ofPartition])
  }

  /** Waits for the replicas to have what was written before on this connection. */
  async #replicated(written: number): Promise<void> {
    if (this.#wait === undefined || written === 0) return
    const { replicas, timeoutMs } = this.#wait
    const reached = await this.#redis.wait(replicas, timeoutMs)
    if (reached < replicas) {
      throw new Error(
        `only ${reached} of ${replicas} replicas had the messages after ${timeoutMs} ms (setting wait)`,
      )
    }
  }
}

function flatten(messages: readonly Message[]): (string | number)[] {
  return messages.flatMap((message) => {
    const fields = encodeMessage(message)
    return [fields.length, ...fields]
  })
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  const result: T[][] = []
  for (let start = 0; start < items.length; start += size) result.push(items.slice(start, start + size))
  return result
}
