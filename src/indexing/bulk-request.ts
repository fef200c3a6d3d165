import type { Place } from '../place.ts'

/** One document to write or to delete, with the version that decides which of two writers is right. */
export interface Operation {
  /** The row's key. */
  readonly id: string
  /** Where its document is. Default: its `_id` is the row's key. */
  readonly place?: Place
  /** The ticket, as text: it is written as it is and never becomes a floating-point number. */
  readonly version: string
  /** JSON text of the document; undefined deletes it. */
  readonly source: string | undefined
}

/** An operation on one index. */
export interface TargetedOperation extends Operation {
  /** The write alias of a physical index. */
  readonly target: string
}

/** The body of one bulk request, and the operations in the order of its answers. */
export interface BulkRequest {
  readonly operations: readonly TargetedOperation[]
  readonly body: string
  readonly bytes: number
}

/**
 * The lines of an operation. `external_gte` lets a lower version never overwrite a higher one, for deletes too:
 * https://www.elastic.co/docs/reference/elasticsearch/rest-apis/document-apis, "Versioning".
 */
export function bulkLines(operation: TargetedOperation): string {
  const { source } = operation
  return source === undefined ? headerOf(operation) : `${headerOf(operation)}${source}\n`
}

/** What a bulk request does with the document, and how its answer is called. */
export function actionOf({ source }: Operation): 'index' | 'delete' {
  return source === undefined ? 'delete' : 'index'
}

function headerOf(operation: TargetedOperation): string {
  const { target, id, place, version } = operation
  const routing = place?.routing === undefined ? '' : `,"routing":${JSON.stringify(place.routing)}`
  return `{"${actionOf(operation)}":{"_index":${JSON.stringify(target)},"_id":${JSON.stringify(place?.id ?? id)}${routing},"version":${version},"version_type":"external_gte"}}\n`
}

/** The next request: as many of the operations as fit, at least one; an operation that is too large alone goes alone. */
export function nextRequest(
  operations: readonly TargetedOperation[],
  { documents, bytes: maxBytes }: { readonly documents: number; readonly bytes: number },
): BulkRequest {
  const lines: string[] = []
  let bytes = 0
  let taken = 0
  for (const operation of operations) {
    const { source } = operation
    const header = headerOf(operation)
    const size = Buffer.byteLength(header) + (source === undefined ? 0 : Buffer.byteLength(source) + 1)
    if (taken > 0 && (bytes + size > maxBytes || taken + 1 > documents)) break
    // Not as one text, which would be a copy of each document more.
    lines.push(header)
    if (source !== undefined) lines.push(source, '\n')
    bytes += size
    taken += 1
  }
  return { operations: operations.slice(0, taken), body: lines.join(''), bytes }
}
