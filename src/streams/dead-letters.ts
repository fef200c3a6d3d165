import type { Partition } from './keys.ts'
import { runScript, type RedisClient } from './scripts.ts'

/** Why a row could not be indexed. */
export interface Burial {
  /** The row's key. */
  readonly id: string
  /** Elasticsearch's error type, or `document`, `invalid_key`, … for what failed before. */
  readonly type: string
  readonly reason: string
}

// Enough to understand the error; a document's text may be in it.
const longestReason = 2_000

/** Writes dead letters, one per row; a further failure of the same row counts its attempts up. */
export async function bury(
  redis: RedisClient,
  partition: Partition,
  burials: readonly Burial[],
): Promise<void> {
  await Promise.all(
    burials.map(({ id, type, reason }) =>
      runScript(redis, 'bury', [partition.keys.deadLetters], [id, type, reason.slice(0, longestReason)]),
    ),
  )
}
