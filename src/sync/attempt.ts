import type { DataSource } from 'typeorm'

import type { IndexDefinition, Services } from '../indexed.ts'
import type { Operation, TargetedOperation } from '../indexing/bulk-request.ts'
import { BulkWriter, type BulkWriterOptions, type Outcome } from '../indexing/bulk-writer.ts'
import { currentTargets } from '../indexing/index-schema.ts'
import { isMovable } from '../place.ts'
import type { Events, IndexStage } from '../runtime/events.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Activity } from '../runtime/progress.ts'
import type { Batch } from '../streams/batch.ts'
import type { Burial } from '../streams/dead-letters.ts'
import type { RedisClient } from '../streams/scripts.ts'
import { retryOfConflicts } from './conflicts.ts'
import { buildDocument, inContext } from './document.ts'
import { loadRows } from './document-loader.ts'
import { forgetGoneTargets } from './gone-targets.ts'
import { buildOperations } from './operations.ts'
import { Placement } from './placement.ts'
import { Projection } from './projection/projection.ts'
import { Stages } from './stages.ts'
import { takeTicket, type Ticket } from './ticket.ts'

export interface AttemptOptions extends BulkWriterOptions {
  readonly dataSource: DataSource
  readonly redis: RedisClient
  readonly definition: IndexDefinition
  /** What `document()` finds in its context. */
  readonly services: () => Promise<Services>
  /** A batch whose ticket is older is read again, never sent. */
  readonly ticketMaxAgeMs: number
  /**
   * The write alias of an index that is filled by a reindex: documents go to it alone. Nothing is deleted for a row
   * that is gone, or has no document: whoever made it so writes to this index too, and before that nobody wrote it.
   * What was copied to a place that the row has left meanwhile is deleted there. Default: to every index that the
   * ticket names.
   */
  readonly copyTo?: string | undefined
  readonly events?: Events | undefined
  readonly logger: Logger
}

/** Where an attempt takes its tickets, and where it tells how it gets on. */
type Site = Pick<Batch, 'partition' | 'lane' | 'activity' | 'messages'>

/** What came of one attempt to index some rows. Every other row is indexed now. */
export interface AttemptResult {
  /** The ticket: what was read with it is at least as new. */
  readonly version: string
  /** Keys of the rows to try again. */
  readonly retry: ReadonlySet<string>
  /** Those of them of which no document was made: the time did not suffice. */
  readonly untried: readonly string[]
  /** Rows that cannot be indexed as they were read. */
  readonly dead: ReadonlyMap<string, Burial>
  readonly outcomes: readonly Outcome[]
  /** Number of documents for which a newer state was there already. */
  readonly superseded: number
  readonly seconds: Readonly<Record<IndexStage, number>>
}

/**
 * Brings documents to the state of their rows, as far as they can be.
 *
 * The order is the promise: a ticket, THEN the rows, then the documents with the ticket as their version. So it does
 * not matter how often, how late, or by how many this is done for the same row: a lower ticket never overwrites a
 * higher one, and the reader with the highest ticket saw the last commit. What is to be tried again is read anew,
 * with a new ticket.
 */
export class Attempts {
  readonly #options: AttemptOptions
  readonly #writer: BulkWriter
  readonly #document: ReturnType<typeof buildDocument>
  readonly #projection: Projection
  /** Undefined where a document's place is its row's key. */
  readonly #placement: Placement | undefined
  /** The batches whose requests are sent, or wait for their turn. */
  readonly #sending = new Set<Activity>()

  constructor(options: AttemptOptions) {
    this.#options = options
    const stream = options.definition.stream
    this.#writer = new BulkWriter(options, {
      received: (reception, window) => options.events?.tell('answered', { stream, reception, window }),
      answered: (outcomes) => this.#answered(outcomes),
    })
    const { client, dataSource, definition, logger } = options
    this.#document = buildDocument(definition)
    this.#projection = new Projection(definition, dataSource, logger)
    if (isMovable(definition)) this.#placement = new Placement(client, dataSource, definition)
  }

  /** Tries rows of a batch. Rejects when nothing could be done for any: database or Redis away, no index. */
  async attempt(batch: Site, ids: readonly string[]): Promise<AttemptResult> {
    const { dataSource, definition, services, ticketMaxAgeMs, copyTo, logger } = this.#options
    const stages = new Stages(batch.activity)
    stages.begins('ticket')
    const ticket = await this.#ticket(batch)
    stages.begins('load')
    const { documents, rest } = await this.#projection.read(ids)
    const rows = { ...(await loadRows(definition, rest, dataSource)), documents }
    stages.begins('build')
    const { operations, burials, late } = await inContext(dataSource, await services(), (context) =>
      buildOperations(ids, rows, {
        definition,
        version: ticket.version,
        document: (row) => this.#document(row, context),
        withinMs: ticketMaxAgeMs - ticket.ageMs(),
        ticketMaxAgeMs,
      }),
    )
    if (late.length > 0) {
      logger.warn(
        { index: definition.name, documents: late.length },
        'reading rows or document() takes so long that these rows must wait for another batch ' +
          '(settings batchSize, ticketMaxAge)',
      )
    }
    stages.begins('index')
    const placement = this.#placement
    const targets = copyTo === undefined ? ticket.targets : [copyTo]
    const complete = (await placement?.complete(targets, operations, batch.messages)) ?? operations
    const wanted = copyTo === undefined ? complete : withoutDeletes(complete, operations)
    const outcomes = await this.#send(batch, wanted, targets, ticket)
    const retry = new Set<string>([...late, ...((await placement?.moved(outcomes)) ?? [])])
    const conflicts: TargetedOperation[] = []
    for (const outcome of outcomes) {
      const { fate, operation } = outcome
      if (fate === 'superseded') conflicts.push(operation)
      else if (fate === 'poison') burials.set(operation.id, burialOf(outcome))
      else if (fate !== 'applied') retry.add(operation.id)
    }
    if (copyTo === undefined)
      await forgetGoneTargets({ ...this.#options, partition: batch.partition }, outcomes)
    const conflicting = await retryOfConflicts({ ...this.#options, partition: batch.partition }, conflicts)
    for (const id of conflicting) retry.add(id)
    // One of two indices may wait and the other refuse.
    for (const id of retry) burials.delete(id)
    return {
      version: ticket.version,
      retry,
      untried: late,
      dead: burials,
      outcomes,
      superseded: conflicts.length - conflicting.length,
      seconds: stages.end(),
    }
  }

  async #send(
    { activity, lane }: Site,
    operations: readonly Operation[],
    targets: readonly string[],
    ticket: Ticket,
  ): Promise<Outcome[]> {
    const { ticketMaxAgeMs } = this.#options
    this.#sending.add(activity)
    try {
      return await this.#writer.send(
        targeted(operations, targets),
        lane === 'main',
        () => ticket.ageMs() < ticketMaxAgeMs,
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
  async #ticket(batch: Site): Promise<Ticket> {
    const { redis, client, definition } = this.#options
    const ticket = await takeTicket(redis, batch.partition)
    if (ticket.targets.length > 0) return ticket
    batch.activity.begins('index')
    await redis.sadd(batch.partition.keys.targets, ...(await currentTargets(client, definition)))
    // Targets must be learned with the ticket or before it, never after: `reindex_model.py` shows why.
    return takeTicket(redis, batch.partition)
  }
}

function targeted(operations: readonly Operation[], targets: readonly string[]): TargetedOperation[] {
  const all: TargetedOperation[] = []
  for (const operation of operations) for (const target of targets) all.push({ ...operation, target })
  return all
}

/** What remains for a copy: the deletes of rows fall away, those of former places, which placement has added, stay. */
function withoutDeletes(complete: readonly Operation[], ofRows: readonly Operation[]): Operation[] {
  const needless = new Set(ofRows.filter(({ source }) => source === undefined))
  return complete.filter((operation) => !needless.has(operation))
}

function burialOf({ operation, type, reason }: Outcome): Burial {
  return { id: operation.id, type: type ?? 'unknown', reason: reason ?? 'Elasticsearch gave no reason' }
}
