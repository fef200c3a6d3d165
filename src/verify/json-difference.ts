import { isRecord } from '../indexing/canonical-json.ts'

/** A field in which a document is not as it should be. */
export interface FieldDifference {
  /** Its path: `country.name`; an element of a list by its place: `tags.0`. */
  readonly field: string
  /** What the row says; missing when it has no such field. */
  readonly row?: unknown
  /** What the document says; missing when it has no such field. */
  readonly document?: unknown
}

/** Whether two JSON values mean the same: the order of an object's keys does not matter, that of a list does. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => sameJson(item, b[i]))
  }
  if (!isRecord(a) || !isRecord(b)) return a === b
  const keys = Object.keys(a)
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && sameJson(a[key], b[key]))
  )
}

/**
 * The fields in which two JSON objects differ, each at the deepest place where it can be told: objects are compared
 * field by field, and lists of the same length element by element.
 *
 * @param ignored - fields that are not looked at, with all that is below them; as in a mapping, without the places of
 *   list elements: `tags.name`
 */
export function jsonDifferences(
  row: unknown,
  document: unknown,
  ignored: ReadonlySet<string> = new Set(),
): FieldDifference[] {
  return [...differences({ row, document }, { path: '', mapped: '' }, ignored)]
}

/** Where a value is, with and without the places of list elements. */
interface Field {
  readonly path: string
  readonly mapped: string
}

function* differences(
  pair: { readonly row?: unknown; readonly document?: unknown },
  field: Field,
  ignored: ReadonlySet<string>,
): Generator<FieldDifference> {
  const { row, document } = pair
  if (ignored.has(field.mapped)) return
  if (isRecord(row) && isRecord(document)) {
    for (const name of new Set([...Object.keys(row), ...Object.keys(document)])) {
      const inner = {
        ...(Object.hasOwn(row, name) && { row: row[name] }),
        ...(Object.hasOwn(document, name) && { document: document[name] }),
      }
      yield* differences(inner, { path: join(field.path, name), mapped: join(field.mapped, name) }, ignored)
    }
  } else if (Array.isArray(row) && Array.isArray(document) && row.length === document.length) {
    for (const [i, item] of row.entries()) {
      const inner = { row: item as unknown, document: document[i] as unknown }
      yield* differences(inner, { ...field, path: join(field.path, String(i)) }, ignored)
    }
  } else if (!sameJson(row, document)) {
    yield { field: field.path, ...pair }
  }
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}
