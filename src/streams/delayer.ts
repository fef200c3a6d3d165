import { z } from 'zod'

import { Backoff, pause } from '../runtime/backoff.ts'
import type { Events } from '../runtime/events.ts'
import type { Logger } from '../runtime/logger.ts'
import { Progress } from '../runtime/progress.ts'
import type { Worker } from '../runtime/worker.ts'
import { Heartbeat } from './heartbeat.ts'
import type { Partition } from './keys.ts'
import { runScript, type RedisClient } from './scripts.ts'

export interface DelayerOptions {
  readonly redis: RedisClient
  readonly namespace: string
  readonly partitions: readonly Partition[]
  /** Age in ms at which a delay message is due; longer than the longest transaction. */
  readonly delayMs: number
  readonly events?: Events | undefined
  readonly logger: Logger
}

const messagesPerPass = 5_000
const replySchema = z.tuple([z.number(), z.number()])

/**
 * Re-queues what a crash left between save and publish: delay messages that are older than the delay.
 *
 * Owns no state. Reading, adding to the main stream and deleting are one script, so any number of Delayers may run
 * and each may die at any moment.
 */
export class Delayer implements Worker {
  readonly kind = 'delayer'
  readonly name: string
  readonly stream: string
  readonly progress = new Progress()
  readonly #options: DelayerOptions

  constructor(options: DelayerOptions) {
    this.#options = options
    this.name = this.stream = options.partitions[0]?.stream ?? ''
  }

  /** Moves what is due at this moment, in all partitions; returns the number of messages moved. */
  async runOnce(): Promise<number> {
    return this.#pass(() => undefined)
  }

  /** @param movedSome - called after each script, of which a pass may take many */
  async #pass(movedSome: () => void): Promise<number> {
    const { redis, partitions, delayMs, events } = this.#options
    let moved = 0
    for (const { keys } of partitions) {
      let inPass: number
      do {
        const reply = await runScript(
          redis,
          'requeue',
          [keys.delay, keys.main],
          ['due', delayMs, messagesPerPass],
        )
        ;[inPass] = replySchema.parse(reply)
        moved += inPass
        movedSome()
        if (inPass > 0) events?.tell('requeued', { stream: this.stream, messages: inPass })
      } while (inPass >= messagesPerPass)
    }
    return moved
  }

  /** Looks for due messages about ten times per delay, at least once a second, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { redis, namespace, delayMs, events, logger } = this.#options
    const { kind, stream, progress } = this
    const heartbeat = new Heartbeat(redis, namespace, kind, logger, () => progress.report().progressMs)
    const activity = progress.begin('requeue')
    const backoff = new Backoff()
    const intervalMs = Math.min(Math.max(delayMs / 10, 20), 1_000)
    let started = false
    while (!signal.aborted) {
      try {
        activity.begins('requeue')
        if (!started) await heartbeat.start()
        started = true
        const moved = await this.#pass(() => activity.advanced())
        if (moved > 0) logger.info({ stream, moved }, 're-queued messages that were never published')
        backoff.reset()
        activity.rests()
        await pause(intervalMs, signal)
      } catch (error) {
        activity.failed()
        events?.tell('failed', { kind, stream, step: 'requeue' })
        logger.error({ err: error, stream }, 'the Delayer failed; trying again')
        activity.pauses()
        await backoff.pause(signal)
      }
    }
    await heartbeat.stop()
    activity.ends()
  }
}
