import type { Client } from '@elastic/elasticsearch'

import { Backoff } from '../runtime/backoff.ts'
import type { Events } from '../runtime/events.ts'
import type { Activity } from '../runtime/progress.ts'
import type { Writers } from '../capture/transaction-capture.ts'
import type { LogBatch } from './log-batch.ts'
import { LaneChoice } from './log-reader.ts'
import type { LogSite } from './site.ts'
import { truncationPages } from './truncation.ts'
import { becomeVisible } from './visible.ts'

export interface LogPublisherOptions extends LogSite {
  readonly client: Client
  /** Of all sources: a TRUNCATE concerns owners that are captured otherwise, too. */
  readonly writers: Writers
  readonly events: Events
  readonly activity: Activity
}

/** Thrown where the stop of the worker ends a publish that is not done. */
export class PublishStopped extends Error {}

/** Publishes what committed transactions have changed, once others see it. */
export class LogPublisher {
  readonly #options: LogPublisherOptions

  constructor(options: LogPublisherOptions) {
    this.#options = options
  }

  /**
   * Publishes a batch. What fails is tried again, for ever: the log is kept meanwhile, and its connection too.
   *
   * @throws PublishStopped when `signal` aborts before it is done
   */
  async publish(batch: LogBatch, signal: AbortSignal): Promise<void> {
    try {
      await this.#publish(batch, signal)
    } finally {
      for (const transaction of batch.streamed) transaction.end()
    }
  }

  async #publish(batch: LogBatch, signal: AbortSignal): Promise<void> {
    const { dataSource, writers, sources } = this.#options
    await this.#persist('follow', signal, () => becomeVisible(dataSource, batch.xids, signal))
    const pages = [...batch.pages()]
    await Promise.all(
      pages.map(({ definition, lane, messages }) =>
        this.#persist('publish', signal, () => writers.get(definition)!.publish(messages, lane)),
      ),
    )
    for (const transaction of batch.streamed) {
      const lanes = new LaneChoice()
      for await (const { stream, messages } of transaction.pages()) {
        const { definition } = sources[stream]!
        const lane = messages.map(() => lanes.next(definition)).at(-1)!
        await this.#persist('publish', signal, () => writers.get(definition)!.publish(messages, lane))
      }
    }
    for (const table of batch.truncated) {
      await this.#persist('queue', signal, async () => {
        for await (const { definition, messages } of truncationPages(table, this.#options))
          await writers.get(definition)!.publish(messages, 'bulk')
      })
    }
  }

  async #persist(
    step: 'follow' | 'publish' | 'queue',
    signal: AbortSignal,
    work: () => Promise<void>,
  ): Promise<void> {
    const { activity, events, logger, names } = this.#options
    const backoff = new Backoff()
    for (;;) {
      if (signal.aborted) throw new PublishStopped()
      activity.begins(step)
      try {
        await work()
        if (signal.aborted && step === 'follow') throw new PublishStopped()
        activity.advanced()
        return
      } catch (error) {
        if (error instanceof PublishStopped) throw error
        activity.failed()
        events.tell('failed', { kind: 'follower', stream: names.slot, step })
        logger.error(
          { err: error, slot: names.slot },
          'what the log told could not be published; trying again',
        )
        activity.pauses()
        await backoff.pause(signal)
      }
    }
  }
}
