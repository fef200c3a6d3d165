import { nextStreamId, smallerStreamId, type StreamId } from './stream-id.ts'

/** How far a consumer group is in a stream. */
export interface GroupProgress {
  readonly name: string
  /** The last entry that was given to some member; `0-0` when the group has read nothing. */
  readonly lastDelivered: StreamId
  /** The oldest entry that is given out and not acknowledged. */
  readonly oldestPending: StreamId | undefined
}

/** Up to where a stream may be cut. */
export interface TrimPoint {
  /** Entries before this id are done with. Undefined: nothing may go. */
  readonly before: StreamId | undefined
  /** The group that needs the oldest entry. */
  readonly heldBackBy: string | undefined
}

/**
 * The minimum over all groups of what they still need: the oldest pending entry, else what comes after the last one
 * delivered. A group that has read nothing holds everything, and so does an expected group that does not exist yet.
 * `newest` bounds it for retention: entries from this id on stay.
 *
 * Redis' own trimming ignores groups (XTRIM, option KEEPREF): what is cut below an unread entry is lost.
 */
export function trimPoint(
  groups: readonly GroupProgress[],
  expected: readonly string[],
  newest: StreamId | undefined,
): TrimPoint {
  const missing = expected.find((name) => !groups.some((group) => group.name === name))
  if (missing !== undefined) return { before: undefined, heldBackBy: missing }

  let before: StreamId | undefined
  let heldBackBy: string | undefined
  for (const group of groups) {
    const needs = group.oldestPending ?? nextStreamId(group.lastDelivered)
    if (before === undefined || smallerStreamId(needs, before) !== before) {
      before = needs
      heldBackBy = group.name
    }
  }
  if (before !== undefined && newest !== undefined && smallerStreamId(newest, before) !== before) {
    return { before: newest, heldBackBy: undefined }
  }
  return { before, heldBackBy }
}
