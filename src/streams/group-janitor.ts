import { formatAge } from '../runtime/age.ts'
import type { Events } from '../runtime/events.ts'
import type { Logger } from '../runtime/logger.ts'
import { noteServed, readAttendance, type GroupAttendance, type LaneGroups } from './attendance.ts'
import { lanes, type Partition } from './keys.ts'
import { runScript, type RedisClient } from './scripts.ts'
import { isOverdue, watchMs } from './unserved-group.ts'

export interface GroupJanitorOptions {
  readonly redis: RedisClient
  /** A group that nobody has served for so many ms is dropped. Default: 0, never. */
  readonly dropGroupAfterMs?: number
  readonly events?: Events | undefined
  readonly logger: Logger
}

// What the members show changes with every read; writing it down each time would cost a command per pass.
const noteEveryMs = 1_000

/**
 * The Trimmer's look after the user's consumer groups: notes when they were last served, as far as that can be seen
 * from outside (other programs may read the streams as well), and drops those that nobody serves, if the setting
 * `dropGroupAfter` allows it. Never those of Redstream itself.
 *
 * Owns one thing: for how long it has watched a group that is overdue. A new process begins anew, which only makes the
 * drop later.
 */
export class GroupJanitor {
  readonly #options: GroupJanitorOptions
  readonly #overdueSince = new Map<string, number>()

  constructor(options: GroupJanitorOptions) {
    this.#options = options
  }

  /** One look at the groups of a partition, which were read just before. */
  async visit(partition: Partition, groups: LaneGroups): Promise<void> {
    for (const group of await readAttendance(this.#options.redis, partition, groups)) {
      await this.#note(partition, group)
      await this.#dropIfAbandoned(partition, group)
    }
    await this.#forgetGone(partition, groups)
  }

  /** What was watched was not seen for a while. */
  lookAway(): void {
    this.#overdueSince.clear()
  }

  async #note(partition: Partition, { name, unservedMs = 0, notedMs }: GroupAttendance): Promise<void> {
    if (notedMs !== undefined && notedMs - unservedMs < noteEveryMs) return
    await noteServed(this.#options.redis, partition, name, unservedMs)
  }

  async #dropIfAbandoned(partition: Partition, group: GroupAttendance): Promise<void> {
    const { redis, dropGroupAfterMs = 0, events, logger } = this.#options
    const { stream, number, keys } = partition
    const watched = watchedName(partition, group.name)
    if (!isOverdue(group, dropGroupAfterMs)) {
      this.#overdueSince.delete(watched)
      return
    }
    const since = this.#overdueSince.get(watched) ?? performance.now()
    this.#overdueSince.set(watched, since)
    if (performance.now() - since < watchMs(dropGroupAfterMs)) return
    const dropped = await runScript(
      redis,
      'drop',
      [keys.main, keys.bulk, keys.groups],
      [group.name, dropGroupAfterMs],
    )
    this.#overdueSince.delete(watched)
    if (dropped !== 1) return
    const facts = { stream, partition: number, group: group.name }
    events?.tell('groupDropped', facts)
    logger.error(
      {
        ...facts,
        unservedFor: formatAge(group.unservedMs ?? 0),
        waitedFor: formatAge(group.oldestWaitingMs),
      },
      'dropped a consumer group that nobody has served for longer than dropGroupAfter; it misses what waited for it',
    )
  }

  /** Notes about groups that somebody has removed. */
  async #forgetGone(partition: Partition, groups: LaneGroups): Promise<void> {
    const { keys } = partition
    const noted = Object.keys(await this.#options.redis.hgetall(keys.groups))
    const known = new Set(lanes.flatMap((lane) => groups[lane].map(({ name }) => name)))
    const gone = noted.filter((name) => !known.has(name))
    // One that was made since then is noted again by whoever serves it.
    if (gone.length > 0) await this.#options.redis.hdel(keys.groups, ...gone)
    for (const name of gone) this.#overdueSince.delete(watchedName(partition, name))
  }
}

function watchedName({ number }: Partition, group: string): string {
  return `${number}:${group}`
}
