import { keyProblem } from '../capture/row-key.ts'
import type { DocumentBody, IndexDefinition } from '../indexed.ts'
import type { Operation } from '../indexing/bulk-request.ts'
import { isMovable, keyField, placeOf, type Place } from '../place.ts'
import type { Burial } from '../streams/dead-letters.ts'
import type { LoadedRows } from './document-loader.ts'
import { failureReason } from './failure-reason.ts'

/** What a batch writes, and what it cannot write. */
export interface BuiltBatch {
  /** Every row that was found and has a document, and a delete for every other key. */
  readonly operations: Operation[]
  readonly burials: Map<string, Burial>
  /** Keys for which the time did not suffice: they need a batch, and a ticket, of their own. */
  readonly late: string[]
}

/** Rows that were found, as entities or as documents already. */
export interface FoundRows extends LoadedRows {
  /** JSON texts of the documents that the database has made. Default: none. */
  readonly documents?: ReadonlyMap<string, string>
}

/** What is the same for all rows of a batch. */
export interface Build {
  readonly definition: IndexDefinition
  readonly version: string
  /** Makes the document of a row; undefined when it has none. */
  readonly document: (row: object) => DocumentBody | undefined | Promise<DocumentBody>
  /** Until the ticket is too old for anything to be sent with it. */
  readonly withinMs: number
  /** The age at which a ticket is too old. */
  readonly ticketMaxAgeMs: number
}

/**
 * Makes the documents of a batch, one after the other.
 *
 * A `document()` that is slow, or never done, must not let the ticket grow too old again and again: after half of the
 * time what is there is sent, and the rest comes in another batch. Only the first document may take all of the time;
 * one that does not end within it could never be indexed, and is buried. When reading the rows has taken more than
 * half of a ticket's life, that would not be fair, and all are late.
 */
export async function buildOperations(
  ids: readonly string[],
  { rows, invalid, documents }: FoundRows,
  { definition, version, document, withinMs, ticketMaxAgeMs }: Build,
): Promise<BuiltBatch> {
  const built: BuiltBatch = { operations: [], burials: new Map(), late: [] }
  if (withinMs < ticketMaxAgeMs / 2) {
    built.late.push(...ids)
    return built
  }
  const movable = isMovable(definition)
  const half = timer(withinMs / 2)
  const whole = timer(withinMs)
  let made = 0
  try {
    for (const id of askedAndFound(ids, rows, documents)) {
      const problem = movable ? undefined : keyProblem(id)
      const failure = invalid.get(id)
      if (problem !== undefined || failure !== undefined) {
        const type = problem === undefined ? 'unreadable_row' : 'invalid_key'
        built.burials.set(id, { id, type, reason: problem ?? failure?.message ?? '' })
        continue
      }
      const text = documents?.get(id)
      if (text !== undefined) {
        built.operations.push({ id, version, source: text })
        continue
      }
      const row = rows.get(id)
      if (row === undefined) {
        built.operations.push({ id, version, source: undefined })
        continue
      }
      const place = movable ? placeOrProblem(definition, id, row) : undefined
      if (typeof place === 'string') {
        built.burials.set(id, { id, type: 'invalid_key', reason: place })
        continue
      }
      const limit = made === 0 ? whole : half
      if (limit.isOver()) {
        built.late.push(id)
        continue
      }
      try {
        const given = document(row)
        const body = given instanceof Promise ? await Promise.race([given, limit.over]) : given
        if (body !== timeIsOver) {
          const source =
            body && textOf(definition.options.id === undefined ? body : { ...body, [keyField]: id })
          built.operations.push(
            place === undefined ? { id, version, source } : { id, place, version, source },
          )
        } else if (made === 0) throw new Error(tooLong(withinMs))
        else built.late.push(id)
      } catch (error) {
        // The user's document() failed for this row: its neighbours are not concerned.
        const reason = failureReason(error, definition)
        built.burials.set(id, { id, type: 'document_failed', reason })
      }
      made += 1
    }
  } finally {
    half.clear()
    whole.clear()
  }
  return built
}

/** A row may have another key than it was asked for, see {@link LoadedRows}. */
function askedAndFound(
  ids: readonly string[],
  ...found: (ReadonlyMap<string, unknown> | undefined)[]
): Set<string> {
  const all = new Set(ids)
  for (const rows of found) for (const id of rows?.keys() ?? []) all.add(id)
  return all
}

/** Where the document goes, or why it cannot go there. */
function placeOrProblem(definition: IndexDefinition, id: string, row: object): Place | string {
  try {
    return placeOf(definition, id, row)
  } catch (error) {
    return failureReason(error, definition)
  }
}

function textOf(body: DocumentBody): string {
  const text = JSON.stringify(body) as string | undefined
  // Otherwise it would look like a row without a document, and be deleted.
  if (text === undefined) throw new TypeError('document() gave something that JSON has no text for')
  return text
}

function tooLong(ms: number): string {
  return `document() did not end within ${Math.round(ms)} ms, after which a batch is not sent any more (setting ticketMaxAge)`
}

const timeIsOver = Symbol('time is over')

interface Timer {
  readonly over: Promise<typeof timeIsOver>
  readonly isOver: () => boolean
  readonly clear: () => void
}

function timer(ms: number): Timer {
  const { promise, resolve } = Promise.withResolvers<typeof timeIsOver>()
  const end = performance.now() + ms
  const timeout = setTimeout(resolve, ms, timeIsOver)
  return { over: promise, isOver: () => performance.now() >= end, clear: () => clearTimeout(timeout) }
}
