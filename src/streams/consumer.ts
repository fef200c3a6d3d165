import { setMaxListeners } from 'node:events'

import { Backoff, pause } from '../runtime/backoff.ts'
import { Progress, type Activity } from '../runtime/progress.ts'
import type { Worker } from '../runtime/worker.ts'
import {
  finishedEntries,
  latestMessages,
  type BatchHandler,
  type BatchResult,
  type Resolution,
} from './batch.ts'
import { mayReadBulk } from './claim-policy.ts'
import { GroupMember, type Delivery, type GroupMemberOptions } from './group-member.ts'
import { Heartbeat } from './heartbeat.ts'
import type { Isolation } from './isolation.ts'
import type { Lane } from './keys.ts'
import { isLeave } from './message.ts'
import type { Entry } from './replies.ts'

export interface ConsumerOptions extends GroupMemberOptions {
  readonly handler: BatchHandler
  /** Batches in flight, in whatever step of their work. */
  readonly concurrency: number
  /** The same for all Consumers of the process. */
  readonly isolation: Isolation
}

/** Pause between two looks at the main lane while the bulk lane has all of its places. */
const mainAloneMs = 10

/** A delivery in flight. */
interface Work {
  readonly member: GroupMember
  readonly delivery: Delivery
  readonly activity: Activity
  readonly signal: AbortSignal
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
  readonly stream: string
  readonly progress = new Progress()
  readonly #options: ConsumerOptions

  constructor(options: ConsumerOptions) {
    this.#options = options
    const { stream, number } = options.partition
    this.stream = stream
    this.name = `${options.group} of ${stream}, partition ${number}`
  }

  /** Reads one batch, if there is any, and works on it until it is done; returns the number of entries. */
  async runOnce(signal: AbortSignal = new AbortController().signal): Promise<number> {
    const loop = this.progress.begin('read')
    let member: GroupMember | undefined
    try {
      member = await this.#join(loop, signal)
      const delivery = (await member.takeOver()) ?? (await member.read(false))
      if (delivery === undefined) return 0
      await this.#work(member, delivery, signal)
      return delivery.entries.length
    } finally {
      await member?.leave()
      loop.ends()
    }
  }

  /** Works until `signal` aborts, then finishes the batches in flight. */
  async run(signal: AbortSignal): Promise<void> {
    const { concurrency, takeOverAfterMs, logger } = this.#options
    setMaxListeners(0, signal)
    const inFlight = new Map<Promise<void>, Lane>()
    const backoff = new Backoff()
    const loop = this.progress.begin('read')
    let member: GroupMember | undefined
    let lookedForDead = -Infinity
    while (!signal.aborted) {
      try {
        if (inFlight.size >= concurrency) {
          // The batches tell how they get on.
          loop.rests()
          await Promise.race(inFlight.keys())
          continue
        }
        loop.begins('read')
        member ??= await this.#join(loop, signal)
        let delivery: Delivery | undefined
        if (performance.now() - lookedForDead > takeOverAfterMs / 2) {
          delivery = await member.takeOver()
          // When there was something, there may be more.
          if (delivery === undefined) lookedForDead = performance.now()
        }
        const bulk = [...inFlight.values()].filter((lane) => lane === 'bulk').length
        const both = mayReadBulk(bulk, concurrency)
        delivery ??= await (both ? member.read(true) : member.read(false, ['main']))
        loop.advanced()
        if (delivery === undefined) {
          // Not a read that blocks: the bulk lane is to be read again as soon as one of its batches is done.
          if (!both) await Promise.race([...inFlight.keys(), pause(mainAloneMs, signal)])
          continue
        }
        if (delivery.entries.some(({ fields }) => isLeave(fields))) lookedForDead = -Infinity
        const work = this.#work(member, delivery, signal).finally(() => inFlight.delete(work))
        inFlight.set(work, delivery.lane)
        backoff.reset()
      } catch (error) {
        // Told to stop while Redis could not be reached.
        if (signal.aborted) break
        this.#failed(loop)
        logger.error({ err: error, consumer: this.name }, 'the Consumer cannot read; trying again')
        loop.pauses()
        await backoff.pause(signal)
      }
    }
    loop.rests()
    await Promise.all(inFlight.keys())
    await member?.leave()
    loop.ends()
  }

  async #join(loop: Activity, signal: AbortSignal): Promise<GroupMember> {
    const { connections, namespace, logger } = this.#options
    const progressMs = (): number => this.progress.report().progressMs
    const heartbeat = new Heartbeat(connections.commands, namespace, this.kind, logger, progressMs)
    const member = new GroupMember(this.#options, heartbeat, loop, signal)
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
    const activity = this.progress.begin('handle')
    const work: Work = { member, delivery, activity, signal }
    let remaining = delivery.entries
    let blamed = delivery.deliveries > 1 ? remaining : []
    // Others may keep it waiting for its turn, and tell how they get on. Later it pauses: a rest would count as progress.
    activity.rests()
    try {
      for (;;) {
        const result = await this.#handle(work, remaining)
        // Told to stop before it had its turn.
        if (result === undefined) return
        const retry = new Set(result.retry)
        const finished = finishedEntries(remaining, retry)
        if (finished.length === 0) this.#failed(activity)
        await this.#settle(work, finished, result.resolved ?? [])
        if (finished.length > 0) activity.advanced()
        const done = new Set(finished)
        remaining = remaining.filter((entry) => !done.has(entry))
        blamed = await this.#acquit(
          work,
          blamed.filter((entry) => !done.has(entry)),
          result.untried,
        )
        if (remaining.length === 0 || signal.aborted) return
        activity.pauses()
        await backoff.pause(signal)
        if (signal.aborted) return
      }
    } finally {
      member.release(delivery)
      activity.ends()
    }
  }

  /** Hands the rows to the handler; undefined when the Consumer was told to stop before it could. */
  async #handle(
    { delivery, activity, signal }: Work,
    entries: readonly Entry[],
  ): Promise<BatchResult | undefined> {
    const { partition, group, handler, isolation, logger } = this.#options
    const { lane, deliveries, alone } = delivery
    const { stream } = partition
    const messages = latestMessages(entries)
    const ids = messages.map((message) => message.id)
    if (ids.length === 0) return {}
    const facts = { stream, group, ids, messages, entries, partition, lane, deliveries, alone }
    try {
      const attempt = async (): Promise<BatchResult> => {
        activity.begins('handle')
        return (await handler({ ...facts, signal, activity })) ?? {}
      }
      return await isolation.run(attempt, alone, signal)
    } catch (error) {
      logger.error(
        { err: error, consumer: this.name, messages: ids.length },
        'a batch failed and is tried again after a pause; nothing of it is acknowledged',
      )
      return { retry: ids }
    }
  }

  async #settle(
    { member, delivery: { lane }, activity, signal }: Work,
    finished: readonly Entry[],
    resolved: readonly Resolution[],
  ): Promise<void> {
    if (finished.length === 0 && resolved.length === 0) return
    const { group, events } = this.#options
    const backoff = new Backoff()
    for (;;) {
      activity.begins('settle')
      const start = performance.now()
      try {
        await member.settle(lane, finished, resolved)
        const seconds = (performance.now() - start) / 1_000
        events?.tell('settled', { stream: this.stream, group, lane, entries: finished.length, seconds })
        return
      } catch (error) {
        this.#failed(activity)
        this.#options.logger.error(
          { err: error, consumer: this.name },
          'a finished batch could not be acknowledged; trying again',
        )
        // Whoever takes the entries over does the same work again, with the same outcome.
        if (signal.aborted) return
        activity.pauses()
        await backoff.pause(signal)
      }
    }
  }

  /**
   * Forgets the deliveries of entries that were tried without an end of this process; returns the others. Best effort:
   * otherwise they are blamed for the next death, and only tried in smaller batches for it.
   */
  async #acquit(
    { member, delivery }: Work,
    blamed: readonly Entry[],
    untried: readonly string[] = [],
  ): Promise<readonly Entry[]> {
    const tried = finishedEntries(blamed, new Set(untried))
    if (tried.length === 0) return blamed
    try {
      await member.acquit(delivery.lane, tried)
    } catch (error) {
      this.#options.logger.debug({ err: error, consumer: this.name }, 'delivery counts stay as they are')
    }
    return blamed.filter((entry) => !tried.includes(entry))
  }

  #failed(activity: Activity): void {
    activity.failed()
    const { kind, stream } = this
    this.#options.events?.tell('failed', { kind, stream, step: activity.currentStep })
  }
}
