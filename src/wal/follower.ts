import { randomBytes } from 'node:crypto'

import { RedstreamError } from '../errors.ts'
import { Backoff, pause } from '../runtime/backoff.ts'
import { Progress } from '../runtime/progress.ts'
import type { Worker } from '../runtime/worker.ts'
import { Heartbeat } from '../streams/heartbeat.ts'
import { followLog, type LogSessionOptions } from './log-session.ts'
import { sqlStateOf } from '../sql-state.ts'
import { describeLogError, describeReader, objectInUse } from './refusals.ts'
import { SlotKeeper } from './slot-keeper.ts'

export type FollowerOptions = Omit<LogSessionOptions, 'activity' | 'applicationName'>

/** A slot has one reader. Who waits for it looks so often, and takes over when the other one is gone. */
const standByMs = 500
/** How often the slot is looked after, whether or not this process reads from it. */
const keepEveryMs = 5_000

/**
 * Follows the log of the database: what committed transactions have changed goes to the streams, whoever wrote it.
 *
 * State: the position up to which the log is published, kept by the server in the replication slot, and moved on only when
 * Redis has everything before it. A crash at any moment repeats messages, and loses none. One follower reads; others
 * stand by. Each of them looks after the slot (`SlotKeeper`), so that a database's disk is safe also when none can read.
 */
export class Follower implements Worker {
  readonly kind = 'follower'
  /** The replication slot. */
  readonly name: string
  readonly stream: string
  readonly progress = new Progress()
  readonly #options: FollowerOptions
  readonly #keeper: SlotKeeper

  constructor(options: FollowerOptions) {
    this.#options = options
    this.#keeper = new SlotKeeper(options.site)
    this.name = this.stream = options.site.names.slot
  }

  async run(signal: AbortSignal): Promise<void> {
    const { redis, settings, logger } = this.#options.site
    const heartbeat = new Heartbeat(
      redis,
      settings.namespace,
      this.kind,
      logger,
      () => this.progress.report().progressMs,
    )
    const keeping = this.#keep(signal)
    const activity = this.progress.begin('follow')
    const backoff = new Backoff()
    let beats = false
    let standsBy = false
    while (!signal.aborted) {
      try {
        activity.begins('follow')
        if (!beats) await heartbeat.start()
        beats = true
        const { reader } = await this.#keeper.provide('verify', signal)
        if (reader !== undefined) {
          if (!standsBy)
            logger.info({ slot: this.name }, `standing by: ${describeReader(reader)} reads the log`)
          standsBy = true
          activity.advanced()
          await pause(standByMs, signal)
          continue
        }
        standsBy = false
        const applicationName = `redstream follower ${randomBytes(4).toString('hex')}`
        await followLog({ ...this.#options, activity, applicationName }, signal, () => backoff.reset())
      } catch (error) {
        if (signal.aborted) break
        // Another one was faster.
        if (sqlStateOf(error) === objectInUse) continue
        this.#failed(error)
        activity.failed()
        activity.pauses()
        await backoff.pause(signal)
      }
    }
    await keeping
    await heartbeat.stop()
    activity.ends()
  }

  /** Looks after the slot until `signal` aborts. */
  async #keep(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await pause(keepEveryMs, signal)
      if (signal.aborted) return
      await this.#keeper
        .look()
        .catch((error: unknown) =>
          this.#options.site.logger.debug(
            { err: error, slot: this.name },
            'the replication slot could not be looked at',
          ),
        )
    }
  }

  #failed(error: unknown): void {
    const { events, site } = this.#options
    events.tell('failed', { kind: this.kind, stream: this.stream, step: 'follow' })
    const described =
      error instanceof RedstreamError
        ? error
        : describeLogError(error, 'connect', `the log cannot be followed`)
    site.logger.error({ err: described, slot: this.name }, 'the Follower cannot read the log; trying again')
  }
}
