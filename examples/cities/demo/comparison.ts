/** A row or a document as plain fields, nested ones under their dotted names. */
export type Fields = Readonly<Record<string, unknown>>

/** One side of the comparison, in the order of `id`. */
export interface Item {
  readonly id: number
  readonly fields: Fields
}

/** What {@link compareSides} found. */
export interface Comparison {
  readonly rows: number
  readonly documents: number
  readonly differences: number
  /** The first few differences, as a sentence each. */
  readonly examples: readonly string[]
}

const maxExamples = 10

/**
 * Compares two sides that are both sorted by id, in the memory of one item of each: rows without a document, documents
 * without a row, and fields that differ or that only one of them has.
 */
export async function compareSides(
  rows: AsyncIterator<Item, unknown>,
  documents: AsyncIterator<Item, unknown>,
): Promise<Comparison> {
  const counts = { rows: 0, documents: 0, differences: 0 }
  const examples: string[] = []
  const report = (example: string): void => {
    counts.differences += 1
    if (examples.length < maxExamples) examples.push(example)
  }
  const nextOf = async (
    side: AsyncIterator<Item, unknown>,
    count: 'rows' | 'documents',
  ): Promise<Item | undefined> => {
    const { done, value } = await side.next()
    if (done) return undefined
    counts[count] += 1
    return value
  }
  try {
    let row = await nextOf(rows, 'rows')
    let document = await nextOf(documents, 'documents')
    while (row !== undefined || document !== undefined) {
      if (document === undefined || (row !== undefined && row.id < document.id)) {
        report(`city ${row!.id} has no document`)
        row = await nextOf(rows, 'rows')
      } else if (row === undefined || document.id < row.id) {
        report(`document ${show(document.fields['_id'])} has no row`)
        document = await nextOf(documents, 'documents')
      } else {
        const differing = differingFields(row.fields, document.fields)
        if (differing.length > 0) report(`city ${row.id}: ${differing.join('; ')}`)
        row = await nextOf(rows, 'rows')
        document = await nextOf(documents, 'documents')
      }
    }
  } finally {
    await Promise.all([rows.return?.(undefined), documents.return?.(undefined)])
  }
  return { ...counts, examples }
}

/** Each field that differs, as a sentence. */
export function differingFields(row: Fields, document: Fields): string[] {
  const names = new Set([...Object.keys(row), ...Object.keys(document)])
  return [...names]
    .filter((name) => !Object.is(row[name], document[name]))
    .map((name) => `${name} is ${show(row[name])} in the row and ${show(document[name])} in the document`)
}

/** `{ a: { b: 1 } }` as `{ 'a.b': 1 }`. */
export function flatten(value: Readonly<Record<string, unknown>>, prefix = ''): Fields {
  return Object.assign(
    {},
    ...Object.entries(value).map(([name, inner]) =>
      typeof inner === 'object' && inner !== null && !Array.isArray(inner)
        ? flatten(inner as Record<string, unknown>, `${prefix}${name}.`)
        : { [prefix + name]: inner },
    ),
  ) as Fields
}

function show(value: unknown): string {
  return value === undefined ? 'missing' : JSON.stringify(value)
}
