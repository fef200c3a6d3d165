import type { Answer } from '../../src/indexing/fate.ts'

/**
 * One index of Elasticsearch as far as the protocol sees it: documents and tombstones with external versions.
 * `index-conformance.test.ts` proves that it answers as the real one.
 */
export interface FakeIndex {
  documents: Record<string, { readonly version: number; readonly value: number }>
  /** Deleted documents whose version is still known; gone `index.gc_deletes` later. */
  tombstones: Record<string, { readonly version: number; readonly at: number }>
}

/** One item of a bulk request. */
export interface Write {
  readonly row: string
  /** Undefined: written without an external version. */
  readonly version: number | undefined
  /** Undefined deletes the document. */
  readonly value: number | undefined
  /** Elasticsearch refuses the document, whatever its version. */
  readonly poison: boolean
}

export function newIndex(): FakeIndex {
  return { documents: {}, tombstones: {} }
}

/**
 * Applies one item as `version_type: external_gte` says: below the stored version it is a conflict, for deletes and
 * deleted documents too.
 *
 * @param index - undefined when it was deleted; with `require_alias` a write does not make it again
 * @param now - for the age of tombstones
 */
export function applyWrite(index: FakeIndex | undefined, write: Write, now: number): Answer {
  if (index === undefined) return { status: 404, type: 'index_not_found_exception' }
  const { row, version, value, poison } = write
  if (value !== undefined && poison) return { status: 400, type: 'document_parsing_exception' }
  const known = index.documents[row] ?? index.tombstones[row]
  if (version !== undefined && known !== undefined && version < known.version) {
    return { status: 409, type: 'version_conflict_engine_exception' }
  }
  const existed = index.documents[row] !== undefined
  const stored = version ?? (known?.version ?? 0) + 1
  delete index.documents[row]
  delete index.tombstones[row]
  if (value === undefined) {
    index.tombstones[row] = Object.freeze({ version: stored, at: now })
    return { status: existed ? 200 : 404 }
  }
  index.documents[row] = Object.freeze({ version: stored, value })
  return { status: existed ? 200 : 201 }
}
