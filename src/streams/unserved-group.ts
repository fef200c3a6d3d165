import type { GroupAttendance } from './attendance.ts'

/** A consumer group of the user's that nobody serves any more: it holds its stream until it is removed. */
export interface UnservedGroup {
  group: string
  /** Entries that wait for it, read or not. */
  entries: number
  /** Milliseconds since somebody was last seen to serve it, by Redis' clock. */
  unservedMs: number
}

/** Who serves a group says so every 10 s, so after this time nobody does. */
export const unservedAfterMs = 60_000

/** Whether a group counts as one that nobody serves. One that nobody has looked at before is given the time. */
export function isUnserved({ unservedMs = 0 }: Pick<GroupAttendance, 'unservedMs'>): boolean {
  return unservedMs >= unservedAfterMs
}

/**
 * Whether nobody has served a group for `dropGroupAfterMs` (0: never), while something has waited for it as long: a
 * group that has nothing to do does no harm.
 */
export function isOverdue(
  { unservedMs = 0, oldestWaitingMs }: Pick<GroupAttendance, 'unservedMs' | 'oldestWaitingMs'>,
  dropGroupAfterMs: number,
): boolean {
  return dropGroupAfterMs > 0 && unservedMs >= dropGroupAfterMs && oldestWaitingMs >= dropGroupAfterMs
}

/**
 * For how long a Trimmer watches a group that is overdue, by its own clock, before it drops it. When all machines were
 * off, or Redis was away, a group that is served looks abandoned until its members are back; so it does when Redis'
 * clock leaps forward.
 */
export function watchMs(dropGroupAfterMs: number): number {
  return Math.min(unservedAfterMs, dropGroupAfterMs)
}

/** The groups of a stream: entries summed over its partitions, and the time of the one that is longest without service. */
export function sumOverPartitions(groups: readonly UnservedGroup[]): UnservedGroup[] {
  return [...Map.groupBy(groups, ({ group }) => group)].map(([group, inPartitions]) => ({
    group,
    entries: inPartitions.reduce((sum, { entries }) => sum + entries, 0),
    unservedMs: Math.max(...inPartitions.map(({ unservedMs }) => unservedMs)),
  }))
}
