import type { RedisConnections } from '../streams/connection.ts'
import type { Partition } from '../streams/keys.ts'
import type { Logger } from '../runtime/logger.ts'
import { measureEveryMs, measureOffsets, resolutionOf, type Offset } from './clocks.ts'
import { Matcher, type Judge, type SeenChange } from './matcher.ts'
import { onTheWay, type Passage } from './on-the-way.ts'
import { StreamWatch } from './stream-watch.ts'

export interface HearingOptions {
  readonly connections: RedisConnections
  /** Of the audited streams, by the stream's name. */
  readonly partitions: ReadonlyMap<string, readonly Partition[]>
  readonly passages: readonly Passage[]
  readonly databaseNowMs: () => Promise<number>
  readonly judge: Judge
  /** How long after its commit a change may be told of, in ms. */
  readonly graceMs: number
  readonly logger: Logger
}

const sweepMs = 1_000

/** More is not taken in: a bulk update may be missed as a whole, and each of its rows waits to be judged. */
const mostOpen = 100_000

/**
 * The streams' side of an audit: reads every message of the audited streams, matches the changes that the shadow saw, and
 * gives up those that should have been told of by now.
 *
 * Every error of Redis leaves it as one that says what to do.
 */
export class Hearing {
  readonly #options: HearingOptions
  readonly #partitions: readonly Partition[]
  readonly #matcher: Matcher
  readonly #watch: StreamWatch
  #offsets = new Map<Partition, Offset>()
  #measuredAt = -Infinity
  #sweptAt = -Infinity

  constructor(options: HearingOptions) {
    const { connections, partitions, logger, judge } = options
    this.#options = options
    this.#partitions = [...partitions.values()].flat()
    this.#matcher = new Matcher(judge)
    this.#watch = new StreamWatch({
      redis: connections.commands,
      partitions: this.#partitions,
      offsetOf: (partition) => this.#offsets.get(partition)!,
      heard: (message, writtenMs) => this.#matcher.heard(message, writtenMs),
      logger,
    })
  }

  /** How many changes wait to be judged. */
  get open(): number {
    return this.#matcher.open
  }

  /** No more changes, until some are judged. */
  get isFull(): boolean {
    return this.#matcher.open >= mostOpen
  }

  /** In how many ms a commit and a message cannot be told apart. */
  get resolutionMs(): number {
    return resolutionOf(this.#offsets.values())
  }

  /** Begins to listen: what is written after it is heard. */
  begin(): Promise<void> {
    return this.#described(async () => {
      await this.#measureClocks()
      await this.#watch.open()
    })
  }

  /** A change was committed that is to be told of. */
  seen(change: SeenChange): void {
    this.#matcher.seen(change)
  }

  /**
   * Reads what was written, and judges, at most once a second, what is overdue.
   *
   * @param completeMs - every change that was committed before was seen
   */
  read(completeMs: number): Promise<void> {
    return this.#described(async () => {
      if (performance.now() - this.#measuredAt > measureEveryMs) await this.#measureClocks()
      await this.#watch.drain()
      this.#matcher.forgetMessagesBefore(completeMs)
      if (performance.now() - this.#sweptAt > sweepMs) await this.#sweep()
    })
  }

  /** Judges what is overdue now; returns the changes that are neither told nor missed. */
  end(): Promise<SeenChange[]> {
    return this.#described(async () => {
      await this.#sweep()
      return [...this.#matcher.undecided()]
    })
  }

  /** Leaves the streams. */
  close(): Promise<void> {
    return this.#described(() => this.#watch.close())
  }

  async #sweep(): Promise<void> {
    const { connections, partitions, passages, databaseNowMs, graceMs } = this.#options
    this.#sweptAt = performance.now()
    const beforeMs = (await databaseNowMs()) - graceMs
    const overdue = [...this.#matcher.overdue(beforeMs)]
    if (overdue.length === 0) return
    const isOnItsWay = await onTheWay(connections.commands, partitions, passages, overdue, beforeMs)
    // What left its way meanwhile is in the streams now.
    await this.#watch.drain()
    this.#matcher.giveUp(beforeMs, isOnItsWay)
  }

  async #measureClocks(): Promise<void> {
    const { connections, databaseNowMs } = this.#options
    this.#offsets = await measureOffsets(connections.commands, this.#partitions, databaseNowMs)
    this.#measuredAt = performance.now()
  }

  async #described<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action()
    } catch (error) {
      throw this.#options.connections.describe(error)
    }
  }
}
