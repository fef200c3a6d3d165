import type { QueryRunner } from 'typeorm'

import { mostInMainLane, type Writers } from '../capture/transaction-capture.ts'
import type { StreamDefinition } from '../indexed.ts'
import { Backoff } from '../runtime/backoff.ts'
import type { Events } from '../runtime/events.ts'
import type { Logger } from '../runtime/logger.ts'
import { Progress, type Activity } from '../runtime/progress.ts'
import type { Worker } from '../runtime/worker.ts'
import type { RedisConnections } from '../streams/connection.ts'
import { Heartbeat } from '../streams/heartbeat.ts'
import { Doorbell } from './doorbell.ts'
import type { EntryReader } from './entry-reader.ts'
import type { OutboxEntry } from './entry.ts'
import { PassedOver } from './passed-over.ts'
import { partsOf, planPublication } from './publication.ts'
import type { OutboxQueue, Outcome } from './queue.ts'

export interface RelayOptions {
  readonly queue: OutboxQueue
  readonly reader: EntryReader
  readonly writers: Writers
  readonly connections: RedisConnections
  readonly namespace: string
  /** Longest pause in ms between two looks when nobody says that there is something. */
  readonly pollMs: number
  /** After so many ms without a word from this process, the database gives the rows that it has in hand to others. */
  readonly heldMs: number
  readonly events: Events
  readonly logger: Logger
}

/** Rows in one transaction; each holds at most some hundred messages. */
const entriesPerBatch = 200

/**
 * Takes what is in the outbox to the streams: locks some rows, publishes what they say, deletes them, commits.
 *
 * State: in memory, which sources it passes over for a while. A crash before the commit leaves the rows, and they are
 * published again, which is harmless; rows that one relay has in hand are passed over by the others, so any number may
 * run. While Redis is away no transaction is begun; a stream that alone is refused does not hold up the others. A row
 * that cannot be read is marked and passed over; the mark is taken off when a relay starts, which may be a newer version.
 */
export class Relay implements Worker {
  readonly kind = 'relay'
  readonly name = 'outbox'
  /** It serves all. */
  readonly stream = ''
  readonly progress = new Progress()
  readonly #options: RelayOptions
  readonly #passedOver = new PassedOver()

  constructor(options: RelayOptions) {
    this.#options = options
  }

  /** Publishes all that waits at this moment; returns the number of rows. */
  async runOnce(): Promise<number> {
    const activity = this.progress.begin('take')
    try {
      return await this.#pass(activity, new AbortController().signal)
    } finally {
      activity.ends()
    }
  }

  async #pass(activity: Activity, signal: AbortSignal): Promise<number> {
    const { queue, heldMs } = this.#options
    let taken = 0
    for (;;) {
      const passedOver = this.#passedOver.at(performance.now())
      const inBatch = await queue.take(
        { limit: entriesPerBatch, passedOver, heldMs },
        async (entries, queryRunner) => {
          activity.begins('publish')
          const outcome = await this.#publish(entries, queryRunner)
          activity.begins('take')
          return outcome
        },
      )
      taken += inBatch
      activity.advanced()
      if (inBatch < entriesPerBatch || signal.aborted) return taken
    }
  }

  async #publish(entries: readonly OutboxEntry[], queryRunner: QueryRunner): Promise<Outcome> {
    const { reader, writers, events, logger } = this.#options
    await reader.readyFor(entries, queryRunner)
    const publication = planPublication(entries, (entry) => reader.messagesOfEntry(entry), mostInMainLane)
    const { unreadable, streams } = publication
    const parts = [...partsOf(publication)]
    const results = await Promise.allSettled(
      parts.map(({ definition, messages, lane }) => writers.get(definition)!.publish(messages, lane)),
    )
    const refused = new Map<StreamDefinition, unknown>()
    results.forEach((result, i) => {
      if (result.status === 'rejected') refused.set(parts[i]!.definition, result.reason)
    })
    if (refused.size > 0) await this.#explain(refused, results)
    const left = new Set<OutboxEntry>()
    for (const [entry, definitions] of streams) {
      if (definitions.some((definition) => refused.has(definition))) left.add(entry)
    }
    const now = performance.now()
    for (const { source } of left) this.#passedOver.failed(source, now)
    const failing = new Set([...left].map(({ source }) => source))
    for (const { source } of entries) if (!failing.has(source)) this.#passedOver.published(source)
    for (const [{ id, kind, source }, problem] of unreadable) {
      logger.error(
        { id, kind, source, problem },
        'a row of the outbox cannot be read and is set aside: changes may be missing in the index; a relay tries it again when it starts',
      )
    }
    const relayed = entries.length - unreadable.size - left.size
    if (relayed > 0) events.tell('relayed', { entries: relayed })
    if (unreadable.size > 0) events.tell('setAside', { entries: unreadable.size })
    return { unreadable, left }
  }

  /**
   * Says which streams were refused.
   *
   * @throws RedstreamError when it is not these streams but Redis
   */
  async #explain(
    refused: ReadonlyMap<StreamDefinition, unknown>,
    results: readonly PromiseSettledResult<void>[],
  ): Promise<void> {
    const { connections, events, logger } = this.#options
    if (results.every(({ status }) => status === 'rejected')) await connections.check()
    for (const [{ stream }, error] of refused) {
      events.tell('failed', { kind: this.kind, stream, step: 'publish' })
      logger.error(
        { err: connections.describe(error), stream },
        'a stream does not take what is in the outbox for it, which stays there and is tried again; other streams go on',
      )
    }
  }

  /** Publishes what comes into the outbox until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { queue, connections, namespace, pollMs, events, logger } = this.#options
    const { kind, stream, progress } = this
    const { commands } = connections
    const heartbeat = new Heartbeat(commands, namespace, kind, logger, () => progress.report().progressMs)
    const bell = new Doorbell(queue.table, pollMs, logger)
    const activity = progress.begin('take')
    const backoff = new Backoff()
    let started = false
    let failed = false
    let taken = 0
    while (!signal.aborted) {
      try {
        activity.begins('publish')
        if (!started) await heartbeat.start()
        // Before rows are locked: nobody shall wait with a transaction in hand for a Redis that is away.
        else if (failed) await connections.check()
        activity.begins('take')
        if (!started) await queue.tryAgain()
        started = true
        await bell.ready(taken > 0)
        taken = await this.#pass(activity, signal)
        failed = false
        backoff.reset()
        activity.rests()
        await bell.wait(signal)
      } catch (error) {
        failed = true
        activity.failed()
        events.tell('failed', { kind, stream, step: activity.currentStep })
        logger.error({ err: error }, 'the Relay failed; what is in the outbox stays there; trying again')
        activity.pauses()
        await backoff.pause(signal)
      }
    }
    await bell.close()
    await heartbeat.stop()
    activity.ends()
  }
}
