import { z } from 'zod'

import { Backoff, pause } from '../runtime/backoff.ts'
import type { Events } from '../runtime/events.ts'
import type { Logger } from '../runtime/logger.ts'
import { Progress, type Activity } from '../runtime/progress.ts'
import type { Worker } from '../runtime/worker.ts'
import { Heartbeat } from './heartbeat.ts'
import { Inquiry } from './inquiry.ts'
import type { Partition } from './keys.ts'
import { runScript, type RedisClient } from './scripts.ts'
import type { TransactionStates } from './transaction.ts'

export interface DelayerOptions {
  readonly redis: RedisClient
  readonly namespace: string
  readonly partitions: readonly Partition[]
  /** Age in ms at which a delay message is due; where nobody can be asked, longer than the longest transaction. */
  readonly delayMs: number
  /** Who can be asked about transactions. Default: nobody, and all go by their age. */
  readonly transactions?: TransactionStates | undefined
  readonly events?: Events | undefined
  readonly logger: Logger
}

const messagesPerCall = 5_000
const askEveryMs = 1_000
/** Then it looks again at what it has passed over: Redis may have lost the stream. */
const forgetAfterMs = 60_000
const replySchema = z.tuple([z.number(), z.number(), z.string()])

/**
 * Re-queues what a crash left between save and publish: delay messages whose transaction has ended, and where nobody can
 * say, those that are older than the delay.
 *
 * Owns no state but how far it has looked. Reading, adding to the main stream and deleting are one script, so any number
 * of Delayers may run and each may die at any moment. It goes by age and asks side by side: while the database is away,
 * what goes by its age does not wait for it.
 */
export class Delayer implements Worker {
  readonly kind = 'delayer'
  readonly name: string
  readonly stream: string
  readonly progress = new Progress()
  readonly #options: DelayerOptions
  readonly #inquiry: Inquiry | undefined
  /** The last entry of each partition that is done, or passed over because it names a transaction. */
  #passed = new Map<Partition, string>()
  #forgetAt = -Infinity

  constructor(options: DelayerOptions) {
    const { transactions } = options
    this.#options = options
    this.#inquiry = transactions && new Inquiry({ ...options, transactions })
    this.name = this.stream = options.partitions[0]?.stream ?? ''
  }

  /** Moves what is due at this moment, in all partitions; returns the number of messages moved. */
  async runOnce(): Promise<number> {
    const activity = this.progress.begin('requeue')
    try {
      const byAge = await this.#goByAge(activity)
      return byAge + (await this.#ask(activity))
    } finally {
      activity.ends()
    }
  }

  async #goByAge(activity: Activity): Promise<number> {
    const { redis, partitions, delayMs } = this.#options
    if (performance.now() >= this.#forgetAt) {
      this.#passed.clear()
      this.#forgetAt = performance.now() + forgetAfterMs
    }
    const which = this.#inquiry === undefined ? 'all' : 'unnamed'
    let moved = 0
    for (const partition of partitions) {
      const { delay, main } = partition.keys
      let before: string
      let last = this.#passed.get(partition) ?? ''
      do {
        before = last
        const args = ['due', delayMs, messagesPerCall, which, before]
        const reply = replySchema.parse(await runScript(redis, 'requeue', [delay, main], args))
        last = reply[2]
        this.#passed.set(partition, last)
        moved += reply[0]
        activity.advanced()
        this.#tell(reply[0])
      } while (last !== before)
    }
    return moved
  }

  async #ask(activity: Activity): Promise<number> {
    if (this.#inquiry === undefined) return 0
    const { moved, discarded } = await this.#inquiry.pass(activity)
    this.#tell(moved)
    if (discarded > 0) {
      const { logger } = this.#options
      logger.info(
        { stream: this.stream, discarded },
        'deleted delay messages of transactions that were aborted',
      )
    }
    return moved
  }

  #tell(messages: number): void {
    if (messages > 0) this.#options.events?.tell('requeued', { stream: this.stream, messages })
  }

  /** Looks for due messages about ten times per delay, at least once a second, until `signal` aborts; asks once a second. */
  async run(signal: AbortSignal): Promise<void> {
    const { redis, namespace, delayMs, logger } = this.#options
    const heartbeat = new Heartbeat(
      redis,
      namespace,
      this.kind,
      logger,
      () => this.progress.report().progressMs,
    )
    const intervalMs = Math.min(Math.max(delayMs / 10, 20), 1_000)
    let started = false
    const byAge = async (activity: Activity): Promise<number> => {
      if (!started) await heartbeat.start()
      started = true
      return this.#goByAge(activity)
    }
    await Promise.all([
      this.#repeat(intervalMs, byAge, signal),
      this.#inquiry && this.#repeat(askEveryMs, (activity) => this.#ask(activity), signal),
    ])
    await heartbeat.stop()
  }

  async #repeat(
    intervalMs: number,
    pass: (activity: Activity) => Promise<number>,
    signal: AbortSignal,
  ): Promise<void> {
    const { events, logger } = this.#options
    const { kind, stream } = this
    const activity = this.progress.begin('requeue')
    const backoff = new Backoff()
    while (!signal.aborted) {
      try {
        activity.begins('requeue')
        const moved = await pass(activity)
        if (moved > 0) logger.info({ stream, moved }, 're-queued messages that were never published')
        backoff.reset()
        activity.rests()
        await pause(intervalMs, signal)
      } catch (error) {
        const step = activity.currentStep
        activity.failed()
        events?.tell('failed', { kind, stream, step })
        logger.error({ err: error, stream, step }, 'the Delayer failed; trying again')
        activity.pauses()
        await backoff.pause(signal)
      }
    }
    activity.ends()
  }
}
