import { Backoff, pause } from '../runtime/backoff.ts'
import type { Events } from '../runtime/events.ts'
import type { Logger } from '../runtime/logger.ts'
import { Progress } from '../runtime/progress.ts'
import type { Worker } from '../runtime/worker.ts'
import { Heartbeat } from './heartbeat.ts'
import { lanes, type Partition } from './keys.ts'
import { readGroups } from './replies.ts'
import type { RedisClient } from './scripts.ts'
import { parseStreamId } from './stream-id.ts'
import { trimPoint } from './trim-point.ts'

export interface TrimmerOptions {
  readonly redis: RedisClient
  readonly namespace: string
  readonly partitions: readonly Partition[]
  /** Groups that must exist before anything is trimmed, beside those that Redis knows. */
  readonly groups: readonly string[]
  /** Entries stay at least this long, in ms. 0: only as long as some group needs them. */
  readonly retentionMs: number
  /** Pause between two passes, in ms. */
  readonly intervalMs: number
  readonly events?: Events | undefined
  readonly logger: Logger
}

export interface TrimResult {
  /** Entries removed from all lanes and partitions. */
  trimmed: number
  /** Per lane key, the group that is behind all others; nothing from what it needs on was removed. */
  heldBackBy: Record<string, string>
}

/**
 * Removes from main and bulk lanes what every consumer group has done.
 *
 * Owns no state: groups are read from Redis at every pass. What a pass has seen stays true while it cuts, because
 * groups only go forward, so any number of Trimmers may run and each may die at any moment.
 */
export class Trimmer implements Worker {
  readonly kind = 'trimmer'
  readonly name: string
  readonly stream: string
  readonly progress = new Progress()
  readonly #options: TrimmerOptions

  constructor(options: TrimmerOptions) {
    this.#options = options
    this.name = this.stream = options.partitions[0]?.stream ?? ''
  }

  /** One pass over all lanes and partitions. */
  async runOnce(): Promise<TrimResult> {
    const { redis, partitions, groups, retentionMs, events } = this.#options
    const [seconds] = await redis.time()
    const newest =
      retentionMs === 0 ? undefined : parseStreamId(`${Math.max(0, Number(seconds) * 1_000 - retentionMs)}`)
    const result: TrimResult = { trimmed: 0, heldBackBy: {} }
    for (const lane of partitions.flatMap(({ keys }) => lanes.map((name) => keys[name]))) {
      const point = trimPoint(await readGroups(redis, lane), groups, newest)
      if (point.heldBackBy !== undefined) result.heldBackBy[lane] = point.heldBackBy
      if (point.before !== undefined) result.trimmed += await redis.xtrim(lane, 'MINID', point.before)
    }
    if (result.trimmed > 0) events?.tell('trimmed', { stream: this.stream, entries: result.trimmed })
    return result
  }

  async run(signal: AbortSignal): Promise<void> {
    const { redis, namespace, intervalMs, events, logger } = this.#options
    const { kind, stream, progress } = this
    const heartbeat = new Heartbeat(redis, namespace, kind, logger, () => progress.report().progressMs)
    const activity = progress.begin('trim')
    const backoff = new Backoff()
    let started = false
    while (!signal.aborted) {
      try {
        activity.begins('trim')
        if (!started) await heartbeat.start()
        started = true
        const { trimmed } = await this.runOnce()
        activity.advanced()
        if (trimmed > 0) logger.debug({ stream, trimmed }, 'removed messages that every group has done')
        backoff.reset()
        activity.rests()
        await pause(intervalMs, signal)
      } catch (error) {
        activity.failed()
        events?.tell('failed', { kind, stream, step: 'trim' })
        logger.error({ err: error, stream }, 'the Trimmer failed; trying again')
        activity.pauses()
        await backoff.pause(signal)
      }
    }
    await heartbeat.stop()
    activity.ends()
  }
}
