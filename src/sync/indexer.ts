import type { Fate } from '../indexing/fate.ts'
import type { Batch, BatchResult, Resolution } from '../streams/batch.ts'
import { bury } from '../streams/dead-letters.ts'
import { Attempts, type AttemptOptions, type AttemptResult } from './attempt.ts'
import { logOutcomes } from './outcome-log.ts'
import { Trial } from './trial.ts'

export interface IndexerOptions extends AttemptOptions {
  /** Most dead letters of a partition. */
  readonly deadLetterCap: number
}

/** What a batch came to, for who counts it. */
export interface IndexResult extends BatchResult {
  /** Size of the documents that were written. */
  readonly bytes: number
}

/** The consumer group that indexes. */
export const indexGroup = 'index'

/**
 * The handler of the group "index": tries every row of a batch, and once more those that cannot be indexed.
 *
 * The second look comes AFTER the dead letter is written, so that a letter never outlives what it tells of: whoever
 * mends the row before that look is seen by it, and whoever mends it later indexes it later and removes the letter.
 */
export class Indexer {
  readonly #options: IndexerOptions
  readonly #attempts: Attempts
  readonly #trial: Trial

  constructor(options: IndexerOptions) {
    this.#options = options
    this.#attempts = new Attempts(options)
    this.#trial = new Trial(options)
  }

  /** Indexes one batch. Rejects when nothing of it could be done: database or Redis away, no index. */
  readonly handle = async (batch: Batch): Promise<IndexResult> => {
    if (batch.alone) {
      const verdict = await this.#trial.begin(batch)
      if (verdict === 'condemned') return { bytes: 0 }
      if (verdict === 'no room') return { ...this.#noRoom(batch, batch.ids), untried: batch.ids, bytes: 0 }
    }
    const first = await this.#attempts.attempt(batch, batch.ids)
    this.#trial.end(batch)
    this.#tell(batch, first, false)
    const retry = new Set(first.retry)
    const resolved = [resolution(batch.ids, first)]
    // It waits for something else now.
    if (batch.alone) resolved.push({ version: first.version, ids: [...first.retry] })
    const buried = await this.#bury(batch, first, retry)
    if (buried.length > 0) {
      const second = await this.#attempts.attempt(batch, buried)
      this.#tell(batch, second, true)
      for (const id of second.retry) retry.add(id)
      resolved.push(resolution(buried, second))
    }
    // A row may have another key than it was asked for (a collation that ignores case): ask for all of them again.
    const again = [...retry].every((id) => batch.ids.includes(id)) ? [...retry] : batch.ids
    return { retry: again, untried: first.untried, resolved, bytes: bytesOf(first) }
  }

  /** Writes the dead letters of an attempt and returns their ids; those for which there is no room are tried again. */
  async #bury(batch: Batch, { version, dead }: AttemptResult, retry: Set<string>): Promise<string[]> {
    if (dead.size === 0) return []
    const { redis, deadLetterCap } = this.#options
    batch.activity.begins('bury')
    const refused = await bury(redis, batch.partition, [...dead.values()], version, deadLetterCap)
    if (refused.length > 0) for (const id of this.#noRoom(batch, refused).retry) retry.add(id)
    return [...dead.keys()].filter((id) => !retry.has(id))
  }

  #noRoom(batch: Batch, refused: readonly string[]): { retry: readonly string[] } {
    const { definition, deadLetterCap, events, logger } = this.#options
    const { number: partition } = batch.partition
    events?.tell('lettersRefused', { stream: batch.stream, partition, rows: refused.length })
    logger.error(
      { index: definition.name, partition, rows: refused.length, cap: deadLetterCap },
      'the dead letters are full (setting deadLetterCap): these rows are tried again and hold up others until ' +
        'letters are mended, retried or discarded (redstream dead-letters)',
    )
    return { retry: refused }
  }

  /** @param final - rows that cannot be indexed are not tried once more */
  #tell(batch: Batch, { outcomes, retry, dead, superseded, seconds }: AttemptResult, final: boolean): void {
    const { definition, events, logger } = this.#options
    logOutcomes(logger, definition.name, outcomes, final ? dead : new Map())
    events?.tell('indexed', {
      stream: batch.stream,
      documents: {
        applied: count(outcomes, 'applied'),
        superseded,
        retried: retry.size + (final ? 0 : dead.size),
        dead: final ? dead.size : 0,
      },
      seconds,
    })
  }
}

function count(outcomes: AttemptResult['outcomes'], wanted: Fate): number {
  return outcomes.filter(({ fate }) => fate === wanted).length
}

function bytesOf({ outcomes }: AttemptResult): number {
  const applied = outcomes.filter(({ fate }) => fate === 'applied')
  return applied.reduce((sum, { operation }) => sum + Buffer.byteLength(operation.source ?? ''), 0)
}

function resolution(ids: readonly string[], { version, retry, dead }: AttemptResult): Resolution {
  return { version, ids: ids.filter((id) => !retry.has(id) && !dead.has(id)) }
}
