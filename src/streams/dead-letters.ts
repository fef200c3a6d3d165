import { z } from 'zod'

import type { Partition } from './keys.ts'
import { runScript, type RedisClient } from './scripts.ts'

/** Why a row could not be indexed. */
export interface Burial {
  /** The row's key. */
  readonly id: string
  /**
   * Elasticsearch's error type, or what failed before: `invalid_key`, `unreadable_row`, `document_failed`,
   * `consumer_killed`.
   */
  readonly type: string
  readonly reason: string
}

/** A row that could not be indexed, as `redstream dead-letters list --json` prints it. */
export interface DeadLetter {
  stream: string
  /** The row's key. */
  id: string
  type: string
  reason: string
  /** How often it was tried since the first failure. */
  attempts: number
  /** ISO 8601, by Redis' clock. */
  firstAt: string
  /** ISO 8601, by Redis' clock. */
  lastAt: string
}

/** Which letters; a letter must fit every part that is given. */
export interface LetterFilter {
  readonly types?: readonly string[] | undefined
  readonly ids?: readonly string[] | undefined
}

// Enough to understand the error; a document's text may be in it.
const longestReason = 2_000
const pageSize = 1_000

const date = z.number().transform((ms) => new Date(ms).toISOString())
const letterSchema = z.object({
  type: z.string(),
  reason: z.string(),
  attempts: z.number(),
  firstAt: date,
  lastAt: date,
})

/**
 * Writes dead letters, one per row; a further failure of the same row counts its attempts up. A letter of a later
 * ticket, or of the same, stays as it is.
 *
 * @param version - the ticket that the rows were read with
 * @param most - letters that a partition may hold
 * @returns the ids that found no room: they must not be acknowledged, or they would be lost in silence
 */
export async function bury(
  redis: RedisClient,
  partition: Partition,
  burials: readonly Burial[],
  version: string,
  most: number,
): Promise<string[]> {
  const refused = await Promise.all(
    burials.map(async ({ id, type, reason }) => {
      const letter = [id, version, type, reason.slice(0, longestReason), most]
      return (await runScript(redis, 'bury', [partition.keys.deadLetters], letter)) === 0 ? [id] : []
    }),
  )
  return refused.flat()
}

/** The letter of a row; undefined when there is none. */
export async function deadLetterOf(
  redis: RedisClient,
  partition: Partition,
  id: string,
): Promise<DeadLetter | undefined> {
  const json = await redis.hget(partition.keys.deadLetters, id)
  return json === null ? undefined : toLetter(partition, id, json)
}

/** The letters of a partition that fit, in no order; read in pages, so that many of them do not hold Redis up. */
export async function* deadLetters(
  redis: RedisClient,
  partition: Partition,
  { types, ids }: LetterFilter,
): AsyncGenerator<DeadLetter> {
  const key = partition.keys.deadLetters
  const wanted = (letter: DeadLetter): boolean => types === undefined || types.includes(letter.type)
  if (ids !== undefined) {
    for (const id of ids) {
      const letter = await deadLetterOf(redis, partition, id)
      if (letter !== undefined && wanted(letter)) yield letter
    }
    return
  }
  const seen = new Set<string>()
  let cursor = '0'
  do {
    const [next, flat] = await redis.hscan(key, cursor, 'COUNT', pageSize)
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const id = flat[i]!
      // HSCAN may give a field twice while the hash changes.
      if (seen.has(id)) continue
      seen.add(id)
      const letter = toLetter(partition, id, flat[i + 1]!)
      if (wanted(letter)) yield letter
    }
    cursor = next
  } while (cursor !== '0')
}

/** Forgets letters; the rows stay as they are in the index. Returns how many there were. */
export async function discardLetters(
  redis: RedisClient,
  partition: Partition,
  ids: readonly string[],
): Promise<number> {
  let discarded = 0
  for (let start = 0; start < ids.length; start += pageSize)
    discarded += await redis.hdel(partition.keys.deadLetters, ...ids.slice(start, start + pageSize))
  return discarded
}

function toLetter({ stream }: Partition, id: string, json: string): DeadLetter {
  return { stream, id, ...letterSchema.parse(JSON.parse(json)) }
}
