/** One operation of a bulk request, as the proxy sees it go by. */
export interface BulkItem {
  readonly action: string
  readonly index: string
  readonly id: string
  readonly version: number | undefined
  /** Its lines, line breaks included. */
  readonly text: string
  readonly source: string | undefined
}

/** Reads the body of a bulk request. */
export function parseBulk(body: string): BulkItem[] {
  const lines = body.split('\n')
  const items: BulkItem[] = []
  for (let i = 0; i < lines.length; i++) {
    const header = lines[i]
    if (header === undefined || header === '') continue
    const [[action, about]] = Object.entries(JSON.parse(header) as Record<string, Header>) as [
      [string, Header],
    ]
    const source = action === 'delete' ? undefined : lines[++i]
    items.push({
      action,
      index: about._index,
      id: about._id,
      version: about.version,
      text: source === undefined ? `${header}\n` : `${header}\n${source}\n`,
      source,
    })
  }
  return items
}

interface Header {
  readonly _index: string
  readonly _id: string
  readonly version?: number
}

/** What Elasticsearch says when its queues are full, of one item or of a whole request. */
export const rejection = {
  status: 429,
  error: { type: 'es_rejected_execution_exception', reason: 'rejected by the proxy of the torture' },
} as const

/** Puts the answers of the operations that were let through among those of the refused ones. */
export function mergeAnswers(
  items: readonly BulkItem[],
  refused: ReadonlySet<number>,
  answers: readonly unknown[],
): unknown[] {
  let next = 0
  return items.map(({ action, index, id }, i) =>
    refused.has(i) ? { [action]: { _index: index, _id: id, ...rejection } } : answers[next++],
  )
}
