import { setMaxListeners } from 'node:events'

import { Backoff } from '../runtime/backoff.ts'
import type { Worker } from '../runtime/worker.ts'
import { finishedEntries, latestMessages, type BatchHandler, type BatchResult } from './batch.ts'
import { GroupMember, type Delivery, type GroupMemberOptions } from './group-member.ts'
import { Heartbeat } from './heartbeat.ts'
import type { Entry } from './replies.ts'

export interface ConsumerOptions extends GroupMemberOptions {
  readonly handler: BatchHandler
  /** Batches in flight. */
  readonly concurrency: number
}

/**
 * A member of a consumer group of one partition: reads batches, hands them to a handler, acknowledges what is done.
 *
 * The state is in Redis: an entry stays pending until it is acknowledged, after its handler said that its rows are
 * done. When this process dies, other members take the entries over as soon as its heartbeat stays away; when it is
 * paused and comes back, it repeats work that others have done, which is harmless.
 *
 * Nothing is read that cannot be worked on: at most `concurrency` batches are held at any time, also while they wait
 * for something that failed.
 */
export class Consumer implements Worker {
  readonly kind = 'consumer'
  readonly name: string
  readonly #options: ConsumerOptions

  constructor(options: ConsumerOptions) {
    this.#options = options
    const { stream, number } = options.partition
    this.name = `${options.group} of ${stream}, partition ${number}`
  }

  /** Reads one batch, if there is any, and works on it until it is done; returns the number of entries. */
  async runOnce(signal: AbortSignal = new AbortController().signal): Promise<number> {
    const member = await this.#join()
    try {
      const delivery = (await member.takeOver()) ?? (await member.read(false))
      if (delivery === undefined) return 0
      await this.#work(member, delivery, signal)
      return delivery.entries.length
    } finally {
      await member.leave()
    }
  }

  /** Works until `signal` aborts, then finishes the batches in flight. */
  async run(signal: AbortSignal): Promise<void> {
    const { concurrency, takeOverAfterMs, logger } = this.#options
    setMaxListeners(0, signal)
    const inFlight = new Set<Promise<void>>()
    const backoff = new Backoff()
    let member: GroupMember | undefined
    let lookedForDead = -Infinity
    while (!signal.aborted) {
      try {
        if (inFlight.size >= concurrency) await Promise.race(inFlight)
        member ??= await this.#join()
        let delivery: Delivery | undefined
        if (performance.now() - lookedForDead > takeOverAfterMs / 2) {
          delivery = await member.takeOver()
          // When there was something, there may be more.
          if (delivery === undefined) lookedForDead = performance.now()
        }
        delivery ??= await member.read(true)
        if (delivery === undefined) continue
        const work = this.#work(member, delivery, signal).finally(() => inFlight.delete(work))
        inFlight.add(work)
        backoff.reset()
      } catch (error) {
        logger.error({ err: error, consumer: this.name }, 'the Consumer cannot read; trying again')
        await backoff.pause(signal)
      }
    }
    await Promise.all(inFlight)
    await member?.leave()
  }

  async #join(): Promise<GroupMember> {
    const { connections, namespace, logger } = this.#options
    const member = new GroupMember(
      this.#options,
      new Heartbeat(connections.commands, namespace, this.kind, logger),
    )
    try {
      await member.join()
    } catch (error) {
      await member.leave()
      throw error
    }
    return member
  }

  /** Works on a delivery until all of it is done, or the Consumer is told to stop; never rejects. */
  async #work(member: GroupMember, delivery: Delivery, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff()
    let remaining = delivery.entries
    try {
      for (;;) {
        const result = await this.#handle(delivery, remaining, signal)
        const retry = new Set(result.retry)
        const finished = finishedEntries(remaining, retry)
        await this.#settle(member, delivery, finished, result.resolved ?? [], signal)
        const done = new Set(finished)
        remaining = remaining.filter((entry) => !done.has(entry))
        if (remaining.length === 0 || signal.aborted) return
        await backoff.pause(signal)
        if (signal.aborted) return
      }
    } finally {
      member.release(delivery)
    }
  }

  async #handle(delivery: Delivery, entries: readonly Entry[], signal: AbortSignal): Promise<BatchResult> {
    const { partition, group, handler, logger } = this.#options
    const messages = latestMessages(entries)
    const ids = messages.map((message) => message.id)
    if (ids.length === 0) return {}
    try {
      const batch = { stream: partition.stream, group, ids, messages, partition, lane: delivery.lane, signal }
      return (await handler(batch)) ?? {}
    } catch (error) {
      logger.error(
        { err: error, consumer: this.name, messages: ids.length },
        'a batch failed and is tried again after a pause; nothing of it is acknowledged',
      )
      return { retry: ids }
    }
  }

  async #settle(
    member: GroupMember,
    delivery: Delivery,
    finished: readonly Entry[],
    resolved: readonly string[],
    signal: AbortSignal,
  ): Promise<void> {
    const backoff = new Backoff()
    for (;;) {
      try {
        await member.settle(delivery.lane, finished, resolved)
        return
      } catch (error) {
        this.#options.logger.error(
          { err: error, consumer: this.name },
          'a finished batch could not be acknowledged; trying again',
        )
        // Whoever takes the entries over does the same work again, with the same outcome.
        if (signal.aborted) return
        await backoff.pause(signal)
      }
    }
  }
}
