import type { EntityMetadata, ObjectLiteral } from 'typeorm'

import { columnsUpdated } from './builder.ts'
import { hydrated, type Column, type ForeignKeys, type RowChange, type WriteKind } from '../changes.ts'

/** Which of a row's values a returned column holds: those before the statement, those after it, or both. */
type When = 'before' | 'after'

/** A column that a statement returns to Redstream, under a name that hides it from TypeORM. */
interface Returned {
  readonly alias: string
  readonly column: Column
  readonly when: When
}

/** What is added to a statement so that it says which rows it changed. */
export interface ReturningPlan {
  readonly kind: WriteKind
  readonly metadata: EntityMetadata
  readonly returned: readonly Returned[]
  /**
   * The UPDATE sets columns that are returned, so the rows are read and locked by a subquery that it is joined with:
   * RETURNING knows only the new values (before PostgreSQL 18).
   */
  readonly joinsOldRows: boolean
  /** The columns that an UPDATE may change. */
  readonly updated: readonly Column[] | undefined
  /** TypeORM asks for these columns anyway, so that nothing is added, and the aliases are their names. */
  readonly askedAnyway?: true
}

/** The name of the subquery with the rows before an UPDATE. */
const oldRows = 'redstream_old'

/**
 * Decides what a statement returns: the key of each row, the foreign keys that are wanted, and what they were when
 * the statement changes them.
 *
 * @param set - the columns that an UPDATE sets; empty for other statements
 * @param canJoin - whether the database can join an UPDATE with a subquery (PostgreSQL)
 */
export function planReturning(
  kind: WriteKind,
  metadata: EntityMetadata,
  foreignKeys: readonly Column[],
  set: ReadonlySet<Column>,
  canJoin: boolean,
): ReturningPlan {
  const columns = [...new Set([...metadata.primaryColumns, ...foreignKeys])]
  const joinsOldRows = canJoin && columns.some((column) => set.has(column))
  const whens: When[] = joinsOldRows ? ['before', 'after'] : [kind === 'delete' ? 'before' : 'after']
  const returned = whens.flatMap((when) => columns.map((column) => ({ column, when })))
  return {
    kind,
    metadata,
    joinsOldRows,
    updated: kind === 'update' ? columnsUpdated(set, metadata) : undefined,
    returned: returned.map((one, i) => ({ ...one, alias: `redstream_${i}` })),
  }
}

/**
 * The plan for a statement that has a RETURNING list already: when it is one of plain columns, as TypeORM makes it, and has
 * all that are wanted, they are not returned twice.
 */
export function planBeside(
  plan: ReturningPlan,
  asked: string,
  escape: (name: string) => string,
): ReturningPlan {
  const { metadata, returned, joinsOldRows } = plan
  if (asked === '' || joinsOldRows) return plan
  const list = asked.split(', ')
  const isThere = ({ databaseName }: Column): boolean => list.includes(escape(databaseName))
  // Anything else may give a value the name of a column.
  const isPlain = metadata.columns.filter(isThere).length === list.length
  if (!isPlain || !returned.every(({ column }) => isThere(column))) return plan
  return {
    ...plan,
    askedAnyway: true,
    returned: returned.map((one) => ({ ...one, alias: one.column.databaseName })),
  }
}

/** The RETURNING list: what was asked for anyway, and ours. */
export function returningList(
  { returned, joinsOldRows, askedAnyway }: ReturningPlan,
  asked: string,
  escape: (name: string) => string,
): string {
  if (askedAnyway) return asked
  const ours = returned.map(({ column, when, alias }) =>
    joinsOldRows && when === 'before'
      ? `${escape(oldRows)}.${escape(alias)}`
      : `${escape(column.databaseName)} AS ${escape(alias)}`,
  )
  return [asked, ...ours].filter((part) => part !== '').join(', ')
}

/**
 * The WHERE clause of an UPDATE that is joined with its old rows. They are locked, so that what is read is what the
 * UPDATE replaces, also when another transaction changed them a moment ago.
 */
export function joinOldRows(
  { returned, metadata }: ReturningPlan,
  where: string,
  table: string,
  escape: (name: string) => string,
): string {
  const old = returned.filter(({ when }) => when === 'before')
  const select = old.map(({ column, alias }) => `${escape(column.databaseName)} AS ${escape(alias)}`)
  const join = old
    .filter(({ column }) => metadata.primaryColumns.includes(column))
    .map(({ column, alias }) => `${escape(column.databaseName)} = ${escape(oldRows)}.${escape(alias)}`)
  return (
    ` FROM (SELECT ${select.join(', ')} FROM ${table}${where} FOR NO KEY UPDATE) AS ${escape(oldRows)}` +
    ` WHERE ${join.join(' AND ')}`
  )
}

/** Whether a row of the result carries what the plan asked for. */
export function carries({ returned }: ReturningPlan, row: ObjectLiteral): boolean {
  return returned.every(({ alias }) => alias in row)
}

/** The changes that a returned row tells of: two when its key was changed. */
export function changesOfRow(plan: ReturningPlan, row: ObjectLiteral): RowChange[] {
  const { metadata, kind, joinsOldRows, updated } = plan
  if (!joinsOldRows) {
    const { key, foreignKeys } = valuesIn(plan, row, kind === 'delete' ? 'before' : 'after')
    const before = kind === 'insert' ? undefined : foreignKeys
    const after = kind === 'delete' ? undefined : foreignKeys
    return [{ metadata, kind, key, before, after, set: updated }]
  }
  const old = valuesIn(plan, row, 'before')
  const now = valuesIn(plan, row, 'after')
  if (sameKey(plan, row)) {
    return [{ metadata, kind, key: now.key, before: old.foreignKeys, after: now.foreignKeys, set: updated }]
  }
  return [
    { metadata, kind: 'delete', key: old.key, before: old.foreignKeys },
    { metadata, kind: 'insert', key: now.key, after: now.foreignKeys },
  ]
}

/** Takes our columns out of a row again. */
export function withoutOurs<Row extends ObjectLiteral>(
  { returned, askedAnyway }: ReturningPlan,
  row: Row,
): Row {
  if (askedAnyway) return row
  for (const { alias } of returned) delete row[alias as keyof Row]
  return row
}

function valuesIn(
  { returned, metadata }: ReturningPlan,
  row: ObjectLiteral,
  wanted: When,
): { key: ObjectLiteral; foreignKeys: ForeignKeys } {
  const key: ObjectLiteral = {}
  const foreignKeys: Record<string, unknown> = {}
  for (const { alias, column, when } of returned) {
    if (when !== wanted) continue
    const value = hydrated(column, row[alias])
    if (metadata.primaryColumns.includes(column)) column.setEntityValue(key, value)
    if (column.referencedColumn !== undefined) foreignKeys[column.databaseName] = value
  }
  return { key, foreignKeys }
}

function sameKey({ returned, metadata }: ReturningPlan, row: ObjectLiteral): boolean {
  return metadata.primaryColumns.every((column) => {
    const [before, after] = returned.filter((one) => one.column === column).map(({ alias }) => row[alias])
    return String(before) === String(after)
  })
}
