/**
 * What becomes of an item after Elasticsearch has answered, or has not:
 * - `applied`: the index holds this state, or a delete found nothing to delete;
 * - `superseded`: a higher version was there; whether that is right is checked (see `sync/conflicts.ts`);
 * - `wait`: it can pass later, unchanged;
 * - `poison`: this document will never be accepted; its neighbours are not concerned;
 * - `fatal`: nothing can be written to this index until somebody mends it.
 */
export type Fate = 'applied' | 'superseded' | 'wait' | 'poison' | 'fatal'

/** The answer for one item of a bulk request, or for the request as a whole. */
export interface Answer {
  /** HTTP status; 0 when there was no answer (connection refused, cut, timed out). */
  readonly status: number
  /** `error.type` of Elasticsearch, when it gave one. */
  readonly type?: string | undefined
}

// Blocks that Elasticsearch or an operator sets for a while (disk full, read-only index): 403 or 429 by version.
const passing = new Set(['cluster_block_exception', 'index_closed_exception', 'unavailable_shards_exception'])
// The index is gone, or the client does not fit the server (client 9 on a server 8): every document would fail.
const hopeless = new Set([
  'index_not_found_exception',
  'alias_not_found_exception',
  'media_type_header_exception',
])

/**
 * Decided by status and error type alone, never by the text of a message.
 * https://www.elastic.co/docs/troubleshoot/elasticsearch/rejected-requests for 429.
 */
export function fateOf({ status, type }: Answer): Fate {
  if (status >= 200 && status < 300) return 'applied'
  if (type !== undefined && passing.has(type)) return 'wait'
  if (type !== undefined && hopeless.has(type)) return 'fatal'
  switch (status) {
    case 0:
    case 408:
    case 429:
      return 'wait'
    case 401:
    case 403:
      return 'fatal'
    // A delete of a document that is not there; an error type would say that something else is missing.
    case 404:
      return type === undefined ? 'applied' : 'fatal'
    case 409:
      return 'superseded'
    default:
      return status >= 500 ? 'wait' : 'poison'
  }
}

/**
 * What becomes of the documents of a request that was refused as a whole. Its status says nothing about them: 404 is no
 * delete that found nothing, 409 no newer version. Without an error type it was not Elasticsearch that answered, but
 * something before it (a proxy without its backend), and no document is at fault, unless the request was too large.
 */
export function fateOfRequest(answer: Answer): Fate {
  const fate = fateOf(answer)
  if (fate === 'applied' || fate === 'superseded') return 'fatal'
  return fate === 'poison' && answer.type === undefined && answer.status !== 413 ? 'fatal' : fate
}
