import { createHash } from 'node:crypto'

import type { RowKey } from '../capture/row-key.ts'
import { encodePlace, type Place } from '../place.ts'
import { jsonDifferences, type FieldDifference } from './json-difference.ts'

/** What is looked at: a row with its document, or a document somewhere else that bears a row's key. */
export interface Spot {
  /** Key of the row. */
  readonly key: RowKey
  /** Where the document is. Default: where the row has it. */
  readonly place?: Place
  /** False: no row can have this key. */
  readonly isKey: boolean
}

/** What a row and its document were at one moment. */
export interface Look {
  readonly spot: Spot
  readonly hasRow: boolean
  /** False: the row has its document elsewhere. */
  readonly isHome: boolean
  /** Where the document was looked for; undefined: there was no row to say where. */
  readonly place: Place | undefined
  /** Fingerprint of what the row says: its document and where that belongs; equal for equal ones, and for none. */
  readonly expected: string
  /** Version of the document; undefined: there is none. */
  readonly version: number | undefined
  /** Tells this very state of the document from every other one. */
  readonly revision: Revision | undefined
  readonly finding: Finding | undefined
}

/** How a document differs from its row. */
export type Finding =
  /** The row has no document. */
  | { readonly kind: 'missing' }
  /** The document is not that of the row as it is. */
  | {
      readonly kind: 'stale'
      /** The first fields that differ; long values are cut. */
      readonly fields: readonly FieldDifference[]
    }
  /** The document has no row, or its row has another one, or shall have none (`when`). */
  | { readonly kind: 'orphaned' }
  /** The document of the row cannot be made or not be indexed. */
  | { readonly kind: 'unindexable'; readonly reason: string }

export type Kind = Finding['kind']

/** What a row wants to be in the index. */
export type Wish = {
  /** Where its document belongs; undefined: the row cannot say. */
  readonly place: Place | undefined
} & ({ readonly source: string | undefined } | { readonly failure: string })

/** A document as Elasticsearch holds it. */
export interface Stored {
  readonly version: number
  readonly revision: Revision
  readonly source: unknown
}

/** The condition of a write that shall meet this state of a document only. */
export interface Revision {
  readonly if_seq_no: number
  readonly if_primary_term: number
}

/** What was read for a spot. */
export interface Reading {
  /** Where the document was looked for. */
  readonly place: Place | undefined
  /** Undefined: none of this key. */
  readonly stored: Stored | undefined
  /** Undefined: there is no row. */
  readonly wish: Wish | undefined
}

/** What a row and its document say when they are held side by side. */
export function compare(spot: Spot, { place, stored, wish }: Reading, ignored: ReadonlySet<string>): Look {
  const isHome = spot.place === undefined || isSame(spot.place, wish?.place)
  // A row that has moved since its place was read: what is at the former place says nothing.
  const hasMoved = spot.place === undefined && wish !== undefined && !isSame(place, wish.place)
  const found = hasMoved ? undefined : stored
  return {
    spot,
    hasRow: wish !== undefined,
    isHome,
    place,
    expected: digest([place, wish?.place], isHome ? wish : undefined),
    version: found?.version,
    revision: found?.revision,
    finding: findingOf(isHome, wish, found, ignored),
  }
}

function findingOf(
  isHome: boolean,
  wish: Wish | undefined,
  stored: Stored | undefined,
  ignored: ReadonlySet<string>,
): Finding | undefined {
  if (wish !== undefined && !isHome) {
    const isElsewhere = wish.place !== undefined
    return isElsewhere && stored !== undefined ? { kind: 'orphaned' } : undefined
  }
  if (wish !== undefined && 'failure' in wish) return { kind: 'unindexable', reason: wish.failure }
  if (wish?.source === undefined) return stored === undefined ? undefined : { kind: 'orphaned' }
  if (stored === undefined) return { kind: 'missing' }
  const fields = jsonDifferences(JSON.parse(wish.source), stored.source, ignored)
  return fields.length === 0 ? undefined : { kind: 'stale', fields: excerpt(fields) }
}

function isSame(one: Place | undefined, other: Place | undefined): boolean {
  return textOf(one) === textOf(other)
}

function textOf(place: Place | undefined): string {
  return place === undefined ? '' : encodePlace(place)
}

function digest(places: readonly (Place | undefined)[], wish: Wish | undefined): string {
  const text = wish === undefined ? '' : 'failure' in wish ? `!${wish.failure}` : wish.source
  return createHash('sha1')
    .update([...places.map(textOf), text].join('\n'))
    .digest('base64')
}

// Thousands of findings are kept at the same time.
const mostFields = 10
const longestValue = 1_000

/** Some fields, with long values as the beginning of their text. */
function excerpt(fields: readonly FieldDifference[]): FieldDifference[] {
  return fields.slice(0, mostFields).map(({ field, ...values }) => ({
    field,
    ...Object.fromEntries(Object.entries(values).map(([side, value]) => [side, shortened(value)])),
  }))
}

function shortened(value: unknown): unknown {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > longestValue ? `${text.slice(0, longestValue)}…` : value
}
