import { Backoff, pause } from '../runtime/backoff.ts'
import type { Events } from '../runtime/events.ts'
import type { Logger } from '../runtime/logger.ts'
import { Progress } from '../runtime/progress.ts'
import type { Worker } from '../runtime/worker.ts'
import { redisNowMs } from './clock.ts'
import { GroupJanitor } from './group-janitor.ts'
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
  /** A group of the user's that nobody has served for so many ms is dropped. Default: 0, never. */
  readonly dropGroupAfterMs?: number
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
 * Removes from main and bulk lanes what every consumer group has done, and looks after groups that nobody serves.
 *
 * Owns no state of the lanes: groups are read from Redis at every pass. What a pass has seen stays true while it cuts,
 * because groups only go forward, so any number of Trimmers may run and each may die at any moment.
 */
export class Trimmer implements Worker {
  readonly kind = 'trimmer'
  readonly name: string
  readonly stream: string
  readonly progress = new Progress()
  readonly #options: TrimmerOptions
  readonly #janitor: GroupJanitor

  constructor(options: TrimmerOptions) {
    this.#options = options
    this.#janitor = new GroupJanitor(options)
    this.name = this.stream = options.partitions[0]?.stream ?? ''
  }

  /** One pass over all lanes and partitions. */
  async runOnce(): Promise<TrimResult> {
    const { redis, partitions, groups: expected, retentionMs, events } = this.#options
    const result: TrimResult = { trimmed: 0, heldBackBy: {} }
    for (const partition of partitions) {
      const { keys } = partition
      const now = await redisNowMs(redis, keys.main)
      const newest =
        retentionMs === 0 ? undefined : parseStreamId(`${Math.max(0, Math.floor(now - retentionMs))}`)
      const groups = { main: await readGroups(redis, keys.main), bulk: await readGroups(redis, keys.bulk) }
      for (const lane of lanes) {
        const point = trimPoint(groups[lane], expected, newest)
        if (point.heldBackBy !== undefined) result.heldBackBy[keys[lane]] = point.heldBackBy
        if (point.before !== undefined) result.trimmed += await redis.xtrim(keys[lane], 'MINID', point.before)
      }
      await this.#janitor.visit(partition, groups)
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
        this.#janitor.lookAway()
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
