import {
  InstanceChecker,
  type DataSource,
  type DeleteQueryBuilder,
  type EntityManager,
  type EntityMetadata,
  type ObjectLiteral,
  type QueryRunner,
  type UpdateQueryBuilder,
} from 'typeorm'

import { hydrated, type Column, type ForeignKeys, type RowChange } from './changes.ts'
import type { DatabaseCascade } from './database-cascade.ts'
import { keyCondition, type Condition } from './key-condition.ts'
import { idOf, keysetPages, rowsPerPage, selectMatching, type RawRow, type Where } from './key-pages.ts'
import { isPostgres, lockRows } from './row-lock.ts'

/** An UPDATE or DELETE of all rows that match. */
export interface Write {
  readonly metadata: EntityMetadata
  readonly where: Where<ObjectLiteral>
  /** What an UPDATE sets; undefined for a DELETE. */
  readonly set: ObjectLiteral | undefined
  /** The foreign keys that somebody wants with each row. */
  readonly foreignKeys: readonly Column[]
}

/** Takes the changed rows, page by page, before the commit. */
export type Note = (changes: readonly RowChange[]) => Promise<void>

/**
 * Whether one statement can return all that must be known of its rows. Otherwise the rows are read and locked first:
 * where the database returns nothing, where an UPDATE replaces foreign keys that are wanted, and where rows of other
 * tables must be found before a DELETE takes them along.
 */
export function returnsEnough(
  { metadata, set, foreignKeys }: Write,
  { driver, options }: DataSource,
  cascade: DatabaseCascade,
): boolean {
  const kind = set === undefined ? 'delete' : 'update'
  // SQL Server returns rows too, but knows no comparison of several columns with a subquery.
  const returns = isPostgres(options.type) || options.type === 'mariadb'
  if (!returns || !driver.isReturningSqlSupported(kind)) return false
  if (set === undefined) return !cascade.startsAt(metadata)
  return foreignKeys.every((column) => column.getEntityValue(set) === undefined)
}

/**
 * Writes all rows that match with one statement, which returns them. A row that another transaction is changing is waited
 * for, and then looked at again: by the statement itself, or where its criteria need other tables by a subquery that
 * locks, which costs about a third more.
 *
 * @returns the number of rows
 */
export async function writeReturning(queryRunner: QueryRunner, write: Write, note: Note): Promise<number> {
  const { manager, connection } = queryRunner
  const { metadata, where, foreignKeys } = write
  const key = metadata.primaryColumns
  const statement = statementOf(manager, write)
  const name = ({ databaseName }: Column): string => statement.escape(databaseName)
  if (isPostgres(connection.options.type) && asksOneTable(metadata, where)) statement.where(where)
  else {
    const matching = lockRows(selectMatching(manager, metadata, where, key), connection, 'row')
    const sql = `(${key.map(name).join(', ')}) IN (${matching.getQuery()})`
    statement.where(sql, matching.getParameters())
  }
  const columns = [...new Set([...key, ...foreignKeys])]
  const rows = await execute(queryRunner, statement.returning(columns.map(name).join(', ')))
  for (let start = 0; start < rows.length; start += rowsPerPage) {
    await note(rows.slice(start, start + rowsPerPage).map((row) => changeOf(write, row)))
  }
  return rows.length
}

/**
 * Reads and locks all rows that match, and then writes them by their keys. The lock makes it as good as one statement:
 * nobody else can change these rows until the commit, and no others are written.
 *
 * @returns the number of rows
 */
export async function writeLocked(
  queryRunner: QueryRunner,
  write: Write,
  note: Note,
  cascade: DatabaseCascade,
): Promise<number> {
  const { manager, connection } = queryRunner
  const { metadata, where, set, foreignKeys } = write
  const key = metadata.primaryColumns
  const columns = [...new Set([...key, ...foreignKeys])]
  const keys: unknown[][] = []
  let count = 0
  const pages = keysetPages(metadata, () =>
    lockRows(selectMatching(manager, metadata, where, columns), connection, 'row'),
  )
  for await (const page of pages) {
    const rows = distinct(metadata, page)
    const changes = rows.map((row) => changeOf(write, row))
    await note(changes)
    if (set === undefined) {
      const ids = changes.flatMap((change) => change.key ?? [])
      for await (const others of cascade.rowsThatGoWith(queryRunner, metadata, ids)) await note(others)
    }
    for (const row of rows) keys.push(key.map(({ databaseName }) => row[databaseName]))
    count += rows.length
  }
  // Not page by page as they are found: the rows that a page changes may decide whether others match.
  // SQLite's conditions are at most 1,000 deep, and each key of several columns makes one deeper.
  const size = Math.floor(rowsPerPage / key.length)
  for (let start = 0; start < keys.length; start += size) {
    const statement = statementOf(manager, write)
    const names = key.map(({ databaseName }) => statement.escape(databaseName))
    const { sql, parameters }: Condition = keyCondition(names, keys.slice(start, start + size), false)
    await execute(queryRunner, statement.where(`(${sql})`, parameters))
  }
  return count
}

/**
 * Whether criteria are about plain columns of the table, so that a statement can have them as they are. What is compared
 * as an object, or is SQL that names the rows by the alias of a query, is left to the query.
 */
function asksOneTable(metadata: EntityMetadata, where: Where<ObjectLiteral>): boolean {
  const alternatives: readonly ObjectLiteral[] = Array.isArray(where) ? where : [where]
  return alternatives.every((alternative) =>
    Object.entries(alternative).every(([property, value]) => {
      const column = metadata.findColumnWithPropertyName(property)
      if (column === undefined || column.relationMetadata || column.embeddedMetadata) return false
      // A statement gives the operator itself to the transformer, a query what it compares with.
      if (column.transformer) return false
      if (InstanceChecker.isFindOperator(value)) return value.type !== 'raw'
      return typeof value !== 'object' || value instanceof Date
    }),
  )
}

function statementOf(
  manager: EntityManager,
  { metadata, set }: Write,
): UpdateQueryBuilder<ObjectLiteral> | DeleteQueryBuilder<ObjectLiteral> {
  const builder = manager.createQueryBuilder()
  const target = metadata.target as string
  return set === undefined ? builder.delete().from(target) : builder.update(target).set(set)
}

/** Not by `execute()`: its events would tell of the same rows again, or complain that they name none. */
async function execute(
  queryRunner: QueryRunner,
  statement: UpdateQueryBuilder<ObjectLiteral> | DeleteQueryBuilder<ObjectLiteral>,
): Promise<RawRow[]> {
  const [sql, parameters] = statement.getQueryAndParameters()
  const { records } = await queryRunner.query(sql, parameters, true)
  return (records ?? []) as RawRow[]
}

/** A `where` over a to-many relation repeats rows. */
function distinct({ primaryColumns }: EntityMetadata, rows: readonly RawRow[]): RawRow[] {
  const text = (row: RawRow): string =>
    JSON.stringify(primaryColumns.map(({ databaseName }) => String(row[databaseName])))
  return [...new Map(rows.map((row) => [text(row), row])).values()]
}

function changeOf({ metadata, set, foreignKeys }: Write, row: RawRow): RowChange {
  const key = idOf(metadata, row)
  const before: ForeignKeys = Object.fromEntries(
    foreignKeys.map((column) => [column.databaseName, hydrated(column, row[column.databaseName])]),
  )
  if (set === undefined) return { metadata, kind: 'delete', key, before }
  const changed = foreignKeys.flatMap((column): [string, unknown][] => {
    const value: unknown = column.getEntityValue(set)
    return value === undefined ? [] : [[column.databaseName, value]]
  })
  const after = Object.entries({ ...before, ...Object.fromEntries(changed) })
  // What an SQL expression gives is known to the database alone.
  return {
    metadata,
    kind: 'update',
    key,
    before,
    after: Object.fromEntries(after.filter(([, value]) => typeof value !== 'function')),
  }
}
