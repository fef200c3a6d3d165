import { isDeepStrictEqual } from 'node:util'

/** A JSON object. */
export type Content = Record<string, unknown>

/** A document in the index. */
export interface Found {
  readonly content: Content
  readonly version: number
}

/** A row and a document that do not agree. */
export interface Difference {
  readonly kind: 'missing' | 'stale' | 'orphaned'
  readonly index: string
  readonly id: string
  /** What the document must be; not there when it must not be. */
  readonly expected?: Content
  readonly found?: Found
}

/** Compares both ways: every row must have its document, and every document its row. */
export function differences(
  index: string,
  expected: ReadonlyMap<string, Content>,
  found: ReadonlyMap<string, Found>,
): Difference[] {
  const wrong: Difference[] = []
  for (const [id, content] of expected) {
    const document = found.get(id)
    if (document === undefined) wrong.push({ kind: 'missing', index, id, expected: content })
    else if (!isDeepStrictEqual(document.content, content)) {
      wrong.push({ kind: 'stale', index, id, expected: content, found: document })
    }
  }
  for (const [id, document] of found) {
    if (!expected.has(id)) wrong.push({ kind: 'orphaned', index, id, found: document })
  }
  return wrong
}
