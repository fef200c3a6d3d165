import type { Place } from '../place.ts'
import type { FieldDifference } from './json-difference.ts'
import type { Finding, Kind, Look } from './look.ts'

/** A difference that verify found, with what can be said about it. */
export interface Example {
  /** The row's key, or the document's `_id` when it bears none. */
  readonly id: string
  /** Where the document is, if it is not at the row's key. */
  readonly place?: Place
  readonly kind: Kind | 'inFlight'
  /** Of a stale document: up to 10 fields that differ, and both values; long ones are cut. */
  readonly fields?: readonly FieldDifference[]
  /** Why a row cannot be indexed. */
  readonly reason?: string
}

/** What `redstream verify --json` prints. */
export interface VerifyReport {
  /** The alias that applications search. */
  readonly name: string
  /** The physical index that was compared. */
  readonly index: string
  /** Rows that were looked at. */
  readonly rows: number
  /** Documents that were looked at. */
  readonly documents: number
  /** Rows without a document. */
  readonly missing: number
  /** Documents that are not those of their rows. */
  readonly stale: number
  /** Documents without a row, or whose row shall have none. */
  readonly orphaned: number
  /** Rows that differ and cannot be indexed: they have a dead letter, or their document cannot be made. */
  readonly unindexable: number
  /** Rows that differ and could not be judged: a message for them is on its way, or they change all the time. */
  readonly inFlight: number
  /** How many of the missing, stale and orphaned ones were cured. */
  readonly repaired: number
  /** False: it was stopped before the end. */
  readonly complete: boolean
  /** Some of the differences. */
  readonly examples: readonly Example[]
}

/** How many differences are left. */
export function differencesLeft(report: VerifyReport): number {
  const { missing, stale, orphaned, unindexable, inFlight, repaired } = report
  return missing + stale + orphaned + unindexable + inFlight - repaired
}

/** Counts what verify finds, and keeps some examples of each kind. */
export class Tally {
  rows = 0
  documents = 0
  repaired = 0
  readonly #counts: Record<Example['kind'], number> = {
    missing: 0,
    stale: 0,
    orphaned: 0,
    unindexable: 0,
    inFlight: 0,
  }
  readonly #examples: Example[] = []
  readonly #mostExamples: number

  /** @param mostExamples - of each kind */
  constructor(mostExamples: number) {
    this.#mostExamples = mostExamples
  }

  /** Counts a difference. */
  found(look: Look, finding: Finding): void {
    this.#add({
      ...subjectOf(look),
      kind: finding.kind,
      ...('fields' in finding && { fields: finding.fields }),
      ...('reason' in finding && { reason: finding.reason }),
    })
  }

  /** Counts a row that differs and cannot be judged. */
  undecided(look: Look): void {
    this.#add({ ...subjectOf(look), kind: 'inFlight' })
  }

  report(name: string, index: string, complete: boolean): VerifyReport {
    const { rows, documents, repaired } = this
    return { name, index, rows, documents, ...this.#counts, repaired, complete, examples: this.#examples }
  }

  #add(example: Example): void {
    this.#counts[example.kind] += 1
    if (this.#counts[example.kind] <= this.#mostExamples) this.#examples.push(example)
  }
}

function subjectOf({ spot: { key }, place }: Look): Pick<Example, 'id' | 'place'> {
  const isPlain = place === undefined || (place.id === key && place.routing === undefined)
  return isPlain ? { id: key } : { id: key, place }
}
