import type { DataSource } from 'typeorm'

import type { IndexDefinition } from '../indexed.ts'
import type { Operation, TargetedOperation } from '../indexing/bulk-request.ts'
import { BulkWriter, type BulkWriterOptions, type Outcome } from '../indexing/bulk-writer.ts'
import type { Fate } from '../indexing/fate.ts'
import { currentTargets } from '../indexing/index-schema.ts'
import type { Events } from '../runtime/events.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Activity } from '../runtime/progress.ts'
import type { Batch, BatchResult } from '../streams/batch.ts'
import { bury, type Burial } from '../streams/dead-letters.ts'
import type { RedisClient } from '../streams/scripts.ts'
import { judgeConflict, storedVersions } from './conflicts.ts'
import { buildDocument } from './document.ts'
import { loadRows } from './document-loader.ts'
import { buildOperations } from './operations.ts'
import { logOutcomes } from './outcome-log.ts'
import { Stages } from './stages.ts'
import { takeTicket, type Ticket } from './ticket.ts'

export interface IndexerOptions extends BulkWriterOptions {
  readonly dataSource: DataSource
  readonly redis: RedisClient
  readonly definition: IndexDefinition
  /** A batch whose ticket is older is read again, never sent. */
  readonly ticketMaxAgeMs: number
  /** Most dead letters of a partition. */
  readonly deadLetterCap: number
  readonly events?: Events | undefined
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
  /** The batches whose requests are sent, or wait for their turn. */
  readonly #sending = new Set<Activity>()

  constructor(options: IndexerOptions) {
    this.#options = options
    const stream = options.definition.stream
    this.#writer = new BulkWriter(options, {
      received: (reception, window) => options.events?.tell('answered', { stream, reception, window }),
      answered: (outcomes) => this.#answered(outcomes),
    })
    this.#document = buildDocument(options.definition)
  }

  /** Indexes one batch. Rejects when nothing of it could be done: database or Redis away, no index. */
  readonly handle = async (batch: Batch): Promise<BatchResult> => {
    const { dataSource, definition, ticketMaxAgeMs, events, logger } = this.#options
    const stages = new Stages(batch.activity)
    stages.begins('ticket')
    const ticket = await this.#ticket(batch)
    stages.begins('load')
    const rows = await loadRows(definition, batch.ids, dataSource)
    stages.begins('build')
    const { operations, burials, late } = await buildOperations(batch.ids, rows, {
      version: ticket.version,
      document: this.#document,
      withinMs: ticketMaxAgeMs - ticket.ageMs(),
    })
    if (late.length > 0) {
      logger.warn(
        { index: definition.name, documents: late.length },
        'document() takes so long that these rows must wait for another batch (settings batchSize, ticketMaxAge)',
      )
    }
    stages.begins('index')
    const outcomes = await this.#send(batch, operations, ticket)
    const retry = new Set<string>(late)
    const conflicts: TargetedOperation[] = []
    for (const outcome of outcomes) {
      const { fate, operation } = outcome
      if (fate === 'superseded') conflicts.push(operation)
      else if (fate === 'poison') burials.set(operation.id, burialOf(outcome))
      else if (fate !== 'applied') retry.add(operation.id)
    }
    const conflicting = await this.#conflicts(batch, conflicts)
    for (const id of conflicting) retry.add(id)
    const seconds = stages.end()
    const refused = await this.#bury(batch, burials, retry)
    for (const id of refused) retry.add(id)
    logOutcomes(logger, definition.name, outcomes, burials)
    events?.tell('indexed', {
      stream: batch.stream,
      documents: {
        applied: count(outcomes, 'applied'),
        superseded: conflicts.length - conflicting.length,
        retried: count(outcomes, 'wait') + count(outcomes, 'fatal') + conflicting.length + refused.length,
        dead: [...burials.keys()].filter((id) => !retry.has(id)).length,
      },
      seconds,
    })
    // A row may have another key than it was asked for (a collation that ignores case): ask for all of them again.
    const again = [...retry].every((id) => batch.ids.includes(id)) ? [...retry] : batch.ids
    return { retry: again, resolved: batch.ids.filter((id) => !retry.has(id) && !burials.has(id)) }
  }

  async #send(batch: Batch, operations: readonly Operation[], ticket: Ticket): Promise<Outcome[]> {
    const { activity } = batch
    this.#sending.add(activity)
    try {
      return await this.#writer.send(
        operations.flatMap((operation) => ticket.targets.map((target) => ({ ...operation, target }))),
        () => ticket.ageMs() < this.#options.ticketMaxAgeMs,
      )
    } finally {
      this.#sending.delete(activity)
    }
  }

  /** Batches take turns: the answer to one shows for all that wait how Elasticsearch takes them. */
  #answered(outcomes: readonly Outcome[]): void {
    const applied = outcomes.some(({ fate }) => fate === 'applied')
    const refused = outcomes.every(({ fate }) => fate === 'wait' || fate === 'fatal')
    for (const activity of this.#sending) {
      if (applied) activity.advanced()
      else if (refused) activity.failed()
      else activity.begins('index')
    }
  }

  /** A ticket that knows where to write. Redis learns the targets from Elasticsearch when it has lost them. */
  async #ticket(batch: Batch): Promise<Ticket> {
    const { redis, client, definition } = this.#options
    const ticket = await takeTicket(redis, batch.partition)
    if (ticket.targets.length > 0) return ticket
    batch.activity.begins('index')
    await redis.sadd(batch.partition.keys.targets, ...(await currentTargets(client, definition)))
    // Targets must be learned with the ticket or before it, never after: `reindex_model.py` shows why.
    return takeTicket(redis, batch.partition)
  }

  /** Looks into version conflicts; returns the ids to try again. */
  async #conflicts(batch: Batch, conflicts: readonly TargetedOperation[]): Promise<string[]> {
    if (conflicts.length === 0) return []
    const { redis, client, definition, events, logger } = this.#options
    const looks: { operation: TargetedOperation; stored: number | undefined }[] = []
    for (const [target, operations] of Map.groupBy(conflicts, (operation) => operation.target)) {
      const ids = operations.map(({ id }) => id)
      const versions = await storedVersions(client, target, ids)
      for (const operation of operations) looks.push({ operation, stored: versions.get(operation.id) })
    }
    // After the look: a version that somebody wrote while it was under way must be below it too.
    const fresh = await takeTicket(redis, batch.partition)
    const retry: string[] = []
    let highest: number | undefined
    for (const { operation, stored } of looks) {
      const conflict = judgeConflict(operation, stored, fresh.version)
      if (conflict !== 'superseded') retry.push(operation.id)
      if (conflict === 'counter-behind') highest = Math.max(highest ?? 0, stored ?? 0)
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
      events?.tell('counterRaised', { stream: batch.stream, partition: batch.partition.number })
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
    const { redis, definition, deadLetterCap, events, logger } = this.#options
    const letters = [...burials.values()].filter(({ id }) => !retry.has(id))
    if (letters.length > 0) batch.activity.begins('bury')
    const refused = await bury(redis, batch.partition, letters, deadLetterCap)
    if (refused.length > 0) {
      const { number: partition } = batch.partition
      events?.tell('lettersRefused', { stream: batch.stream, partition, rows: refused.length })
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
}

function count(outcomes: readonly Outcome[], wanted: Fate): number {
  return outcomes.filter(({ fate }) => fate === wanted).length
}

function burialOf({ operation, type, reason }: Outcome): Burial {
  return { id: operation.id, type: type ?? 'unknown', reason: reason ?? 'Elasticsearch gave no reason' }
}
