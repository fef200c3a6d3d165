import type { Client } from '@elastic/elasticsearch'

import { pause } from '../../src/runtime/backoff.ts'
import { quantile } from '../statistics.ts'
import { index, type City } from './place.ts'

/** What a searching client has seen. */
export interface Searches {
  readonly searches: number
  /** Searches without an answer, or with one that lacks a shard. */
  readonly errors: number
  /** Answers without the row that was looked for. */
  readonly empty: number
  /** Some of what went wrong. */
  readonly examples: readonly string[]
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

/** An application does not wait for longer. */
const requestTimeout = 10_000
const mostExamples = 5
/** Prime, so that one search after the other goes to another part of the table. */
const stride = 7_919

/**
 * Looks for rows by name and id through the alias, so many times a second whether or not the earlier ones are answered,
 * until it is told to stop. Nothing is tried again.
 *
 * @param resting - rows that nobody writes: each must be found
 */
export async function search(
  client: Client,
  resting: readonly City[],
  perSecond: number,
  signal: AbortSignal,
): Promise<Searches> {
  const times: number[] = []
  const errors: string[] = []
  const empty: string[] = []
  const ask = async ({ id, name }: City): Promise<void> => {
    const begin = performance.now()
    try {
      const query = { bool: { must: { match: { name } }, filter: { term: { id } } } }
      const answer = await client.search({ index, query }, { maxRetries: 0, requestTimeout })
      if (answer.timed_out || answer._shards.failed > 0) errors.push(`city ${id}: not all shards answered`)
      else if (answer.hits.hits.length === 0) empty.push(`city ${id} "${name}": not found`)
    } catch (error) {
      errors.push(`city ${id}: ${String(error)}`)
    }
    times.push(performance.now() - begin)
  }
  const start = performance.now()
  const asked: Promise<void>[] = []
  while (!signal.aborted) {
    asked.push(ask(resting[(asked.length * stride) % resting.length]!))
    await pause(Math.max(0, start + (asked.length * 1_000) / perSecond - performance.now()), signal)
  }
  await Promise.all(asked)
  return {
    searches: asked.length,
    errors: errors.length,
    empty: empty.length,
    examples: [...errors, ...empty].slice(0, mostExamples),
    p50Ms: Math.round(quantile(times, 0.5)),
    p99Ms: Math.round(quantile(times, 0.99)),
    maxMs: Math.round(quantile(times, 1)),
  }
}
