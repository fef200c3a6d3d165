import type { CaptureMode } from '../capture/modes.ts'
import type { RowKey } from '../capture/row-key.ts'
import type { Partition } from '../streams/keys.ts'
import type { RedisClient } from '../streams/scripts.ts'
import { delayedNow } from '../verify/queue.ts'
import type { SeenChange, Wanted } from './matcher.ts'

/** Where changes stay between the commit and the streams, for a source whose messages take a way of their own. */
export interface Passage {
  readonly mode: CaptureMode
  /** Whether everything that was committed before a moment, in ms of the database's clock, has reached the streams. */
  isPassed(beforeMs: number): Promise<boolean>
}

/**
 * What keeps messages of changes from the streams at this moment: they wait in the delay stream, because their
 * transaction has not published yet or its process has died, or the worker that publishes them is behind.
 *
 * @param overdue - the messages that are waited for, of changes committed before `beforeMs`
 * @returns whether a message for a change is on its way; what was in the streams at the call is not
 */
export async function onTheWay(
  redis: RedisClient,
  partitions: ReadonlyMap<string, readonly Partition[]>,
  passages: readonly Passage[],
  overdue: Iterable<Wanted>,
  beforeMs: number,
): Promise<(change: SeenChange) => boolean> {
  const behind = new Set<CaptureMode>()
  for (const passage of passages) if (!(await passage.isPassed(beforeMs))) behind.add(passage.mode)
  const delayed = new Map<string, ReadonlySet<RowKey>>()
  for (const [stream, keys] of keysByStream(overdue)) {
    const entries = await delayedNow(redis, partitions.get(stream) ?? [], keys)
    delayed.set(stream, new Set(entries.flatMap(({ ids }) => ids)))
  }
  return ({ capture, wanted }) =>
    behind.has(capture) || wanted.some(({ stream, key }) => delayed.get(stream)?.has(key) === true)
}

function keysByStream(messages: Iterable<Wanted>): Map<string, Set<RowKey>> {
  const byStream = new Map<string, Set<RowKey>>()
  for (const { stream, key } of messages) {
    const keys = byStream.get(stream)
    if (keys === undefined) byStream.set(stream, new Set([key]))
    else keys.add(key)
  }
  return byStream
}
