import type { EntityMetadata, ObjectLiteral, QueryRunner } from 'typeorm'

import { hydrated, type Column, type RowChange } from '../changes.ts'
import { idOf, type RawRow } from '../key-pages.ts'
import { isComparedByText } from '../row-key.ts'
import { rowsMatching, valuesOf, type Builder, type Target } from './builder.ts'

/** Changes that a statement is about to make, seen before it. */
export interface ReadChanges {
  readonly changes: readonly RowChange[]
  /** False when it gives rows keys that only the database can work out. */
  readonly complete: boolean
}

/**
 * Whether the keys that criteria name are all that must be known of the rows: what embedded a row through a foreign key
 * that it loses is found only through the old one, a new key only with the parts of the old one, and where the database
 * ignores case, the key `rome` finds the row `Rome`.
 */
export function keysSayAll(
  { metadata: { primaryColumns }, kind }: Target,
  foreignKeys: readonly Column[],
  set: ReadonlySet<Column>,
): boolean {
  const lost = kind === 'delete' ? foreignKeys : foreignKeys.filter((column) => set.has(column))
  return lost.length === 0 && primaryColumns.every((column) => isComparedByText(column) && !set.has(column))
}

/**
 * Reads the rows that an UPDATE or DELETE will find, where it cannot return them. Inside a transaction they are locked, so
 * that the statement finds these and no others.
 *
 * @param foreignKeys - what must be known of each row beside its key
 * @param set - the columns that an UPDATE sets
 */
export async function readChanges(
  builder: Builder,
  queryRunner: QueryRunner,
  { metadata, kind }: Target,
  foreignKeys: readonly Column[],
  set: ReadonlySet<Column>,
): Promise<ReadChanges> {
  const rows = await rowsMatching(builder, queryRunner, metadata, foreignKeys)
  const known = rows.map((row) => ({ key: idOf(metadata, row), before: valuesIn(foreignKeys, row) }))
  if (!metadata.primaryColumns.some((column) => set.has(column))) {
    return { changes: known.map((row) => ({ metadata, kind, ...row })), complete: true }
  }
  const moved = known.map(({ key }) => keyAfter(metadata, key, valuesOf(builder)[0] ?? {}))
  const gone = known.map((row): RowChange => ({ metadata, kind: 'delete', ...row }))
  const come = moved.flatMap((key): RowChange[] =>
    key === undefined ? [] : [{ metadata, kind: 'insert', key }],
  )
  return { changes: [...gone, ...come], complete: come.length === moved.length }
}

function valuesIn(columns: readonly Column[], row: RawRow): Record<string, unknown> {
  return Object.fromEntries(
    columns.map((column) => [column.databaseName, hydrated(column, row[column.databaseName])]),
  )
}

/** The key that an UPDATE gives a row; undefined when an SQL expression makes it. */
function keyAfter(
  { primaryColumns }: EntityMetadata,
  before: ObjectLiteral,
  values: object,
): ObjectLiteral | undefined {
  const after: ObjectLiteral = {}
  for (const column of primaryColumns) {
    const value: unknown = column.getEntityValue(values) ?? column.getEntityValue(before)
    if (typeof value === 'function') return undefined
    column.setEntityValue(after, value)
  }
  return after
}
