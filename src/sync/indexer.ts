import type { DataSource } from 'typeorm'

import { keyProblem } from '../capture/row-key.ts'
import type { IndexDefinition } from '../indexed.ts'
import type { Operation, TargetedOperation } from '../indexing/bulk-request.ts'
import { BulkWriter, type BulkWriterOptions, type Outcome } from '../indexing/bulk-writer.ts'
import { currentTargets } from '../indexing/index-schema.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Batch, BatchResult } from '../streams/batch.ts'
import { bury, type Burial } from '../streams/dead-letters.ts'
import type { RedisClient } from '../streams/scripts.ts'
import { judgeConflict, storedVersions } from './conflicts.ts'
import { buildDocument } from './document.ts'
import { loadRows } from './document-loader.ts'
import { takeTicket, type Ticket } from './ticket.ts'

export interface IndexerOptions extends BulkWriterOptions {
  readonly dataSource: DataSource
  readonly redis: RedisClient
  readonly definition: IndexDefinition
  /** A batch whose ticket is older is read again, never sent. */
  readonly ticketMaxAgeMs: number
  /** Most dead letters of a partition. */
  readonly deadLetterCap: number
  readonly logger: Logger
}

/** The consumer group that indexes. */
export const indexGroup = 'index'

/**
 * The handler of the group "index": brings the documents of a batch to the state of their rows.
 *
 * The order is the promise: a ticket, THEN the rows, then the documents with the ticket as their version. So it does
 * not matter how often, how late, or by how many this is done for the same row: a lower ticket never overwrites a
 * higher one, and the reader with the highest ticket saw the last commit. What is to be tried again is read anew,
 * with a new ticket.
 */
export class Indexer {
  readonly #options: IndexerOptions
  readonly #writer: BulkWriter
  readonly #document: ReturnType<typeof buildDocument>

  constructor(options: IndexerOptions) {
    this.#options = options
    this.#writer = new BulkWriter(options)
    this.#document = buildDocument(options.definition)
  }

  /** Indexes one batch. Rejects when nothing of it could be done: database or Redis away, no index. */
  readonly handle = async (batch: Batch): Promise<BatchResult> => {
    const { dataSource, definition, ticketMaxAgeMs } = this.#options
    const ticket = await this.#ticket(batch)
    const { rows, invalid } = await loadRows(definition, batch.ids, dataSource)
    const { operations, burials } = await this.#operations(batch.ids, rows, invalid, ticket.version)

    const outcomes = await this.#writer.send(
      operations.flatMap((operation) => ticket.targets.map((target) => ({ ...operation, target }))),
      () => ticket.ageMs() < ticketMaxAgeMs,
    )
    const retry = new Set<string>()
    const conflicts: TargetedOperation[] = []
    for (const outcome of outcomes) {
      const { fate, operation } = outcome
      if (fate === 'superseded') conflicts.push(operation)
      else if (fate === 'poison') burials.set(operation.id, burialOf(outcome))
      else if (fate !== 'applied') retry.add(operation.id)
    }
    for (const id of await this.#conflicts(batch, conflicts)) retry.add(id)
    for (const id of await this.#bury(batch, burials, retry)) retry.add(id)
    this.#report(outcomes, burials)
    // A row may have another key than it was asked for (a collation that ignores case): ask for all of them again.
    const again = [...retry].every((id) => batch.ids.includes(id)) ? [...retry] : batch.ids
    return { retry: again, resolved: batch.ids.filter((id) => !retry.has(id) && !burials.has(id)) }
  }

  /** A ticket that knows where to write. Redis learns the targets from Elasticsearch when it has lost them. */
  async #ticket(batch: Batch): Promise<Ticket> {
    const { redis, client, definition } = this.#options
    const ticket = await takeTicket(redis, batch.partition)
    if (ticket.targets.length > 0) return ticket
    await redis.sadd(batch.partition.keys.targets, ...(await currentTargets(client, definition)))
    // Targets must be learned with the ticket or before it, never after: `reindex_model.py` shows why.
    return takeTicket(redis, batch.partition)
  }

  /** What is to be written: every row that was found, and a delete for every other key. */
  async #operations(
    ids: readonly string[],
    rows: ReadonlyMap<string, object>,
    invalid: ReadonlyMap<string, Error>,
    version: string,
  ): Promise<{ operations: Operation[]; burials: Map<string, Burial> }> {
    const operations: Operation[] = []
    const burials = new Map<string, Burial>()
    for (const id of new Set([...ids, ...rows.keys()])) {
      const problem = keyProblem(id)
      const failure = invalid.get(id)
      if (problem !== undefined || failure !== undefined) {
        const type = problem === undefined ? 'unreadable_row' : 'invalid_key'
        burials.set(id, { id, type, reason: problem ?? failure?.message ?? '' })
        continue
      }
      try {
        const row = rows.get(id)
        const document = row === undefined ? undefined : await this.#document(row)
        operations.push({
          id,
          version,
          source: document === undefined ? undefined : JSON.stringify(document),
        })
      } catch (error) {
        // The user's document() failed for this row: its neighbours are not concerned.
        burials.set(id, {
          id,
          type: 'document_failed',
          reason: error instanceof Error ? error.message : String(error),
        })
      }
    }
    return { operations, burials }
  }

  /** Looks into version conflicts; returns the ids to try again. */
  async #conflicts(batch: Batch, conflicts: readonly TargetedOperation[]): Promise<string[]> {
    if (conflicts.length === 0) return []
    const { redis, client, definition, logger } = this.#options
    const fresh = await takeTicket(redis, batch.partition)
    const retry: string[] = []
    let highest: number | undefined
    for (const [target, operations] of Map.groupBy(conflicts, (operation) => operation.target)) {
      const versions = await storedVersions(
        client,
        target,
        operations.map(({ id }) => id),
      )
      for (const operation of operations) {
        const stored = versions.get(operation.id)
        const conflict = judgeConflict(operation, stored, fresh.version)
        if (conflict !== 'superseded') retry.push(operation.id)
        if (conflict === 'counter-behind') highest = Math.max(highest ?? 0, stored ?? 0)
      }
    }
    const index = definition.name
    const superseded = conflicts.length - retry.length
    if (superseded > 0)
      logger.debug(
        { index, documents: superseded },
        'a newer state was there already, so this one is dropped',
      )
    if (retry.length > 0)
      logger.debug({ index, documents: retry.length }, 'version conflicts; these rows are read again')
    if (highest !== undefined) {
      await takeTicket(redis, batch.partition, BigInt(highest).toString())
      logger.error(
        { index, partition: batch.partition.number, stored: highest, ticket: fresh.version },
        'the ticket counter was behind the versions in the index (did Redis lose data, or is its clock wrong?); ' +
          'it is raised, and the documents are written again',
      )
    }
    return retry
  }

  /** Writes the dead letters; returns the ids for which there was no room. */
  async #bury(
    batch: Batch,
    burials: ReadonlyMap<string, Burial>,
    retry: ReadonlySet<string>,
  ): Promise<string[]> {
    const { redis, definition, deadLetterCap, logger } = this.#options
    const letters = [...burials.values()].filter(({ id }) => !retry.has(id))
    const refused = await bury(redis, batch.partition, letters, deadLetterCap)
    if (refused.length > 0) {
      logger.error(
        {
          index: definition.name,
          partition: batch.partition.number,
          rows: refused.length,
          cap: deadLetterCap,
        },
        'the dead letters are full (setting deadLetterCap): these rows are tried again and hold up others until ' +
          'letters are mended, retried or discarded (redstream dead-letters)',
      )
    }
    return refused
  }

  #report(outcomes: readonly Outcome[], burials: ReadonlyMap<string, Burial>): void {
    const { definition, logger } = this.#options
    const index = definition.name
    for (const [type, waiting] of Map.groupBy(
      outcomes.filter(({ fate }) => fate === 'wait'),
      ({ type }) => type,
    )) {
      logger.warn(
        { index, type, documents: waiting.length, reason: waiting[0]?.reason },
        'Elasticsearch did not take these documents now; they are tried again',
      )
    }
    for (const [type, failed] of Map.groupBy(
      outcomes.filter(({ fate }) => fate === 'fatal'),
      ({ type }) => type,
    )) {
      logger.error(
        {
          index,
          type,
          documents: failed.length,
          target: failed[0]?.operation.target,
          reason: failed[0]?.reason,
        },
        'nothing can be written to this index until somebody mends it (is it deleted? are the rights right?); trying again',
      )
    }
    for (const { id, type, reason } of burials.values()) {
      logger.error({ index, id, type, reason }, 'this row cannot be indexed and is a dead letter now')
    }
  }
}

function burialOf({ operation, type, reason }: Outcome): Burial {
  return { id: operation.id, type: type ?? 'unknown', reason: reason ?? 'Elasticsearch gave no reason' }
}
