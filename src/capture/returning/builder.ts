import type { DataSource, EntityMetadata, ObjectLiteral, QueryRunner } from 'typeorm'

import type { Column, WriteKind } from '../changes.ts'
import { idOf, type RawRow } from '../key-pages.ts'
import { hasRowLocks } from '../row-lock.ts'
import type { WhereClause } from './criteria.ts'

/**
 * What is used of TypeORM's builders of writes. Most of it is not in their public types; `shapeProblem` looks whether
 * it is there before anything relies on it.
 */
export interface Builder {
  /** TypeORM 1.x has `dataSource` too, 0.3 only this. */
  readonly connection: DataSource
  readonly expressionMap: {
    readonly queryType: string
    readonly mainAlias?: { readonly hasMetadata: boolean; readonly metadata: EntityMetadata }
    readonly valuesSet?: object | readonly object[]
    readonly insertFromSelect?: unknown
    readonly onIgnore?: string | boolean
    readonly onUpdate?: {
      /** Columns, or the name of a constraint. */
      readonly conflict?: string | readonly string[]
      readonly overwrite?: readonly string[]
    }
    /** Of TypeORM 0.3. */
    readonly onConflict?: string
    readonly callListeners: boolean
    readonly useTransaction: boolean
    readonly wheres: readonly WhereClause[]
    readonly parameters: Readonly<Record<string, unknown>>
  }
  queryRunner: QueryRunner | undefined
  escape(name: string): string
  getTableName(tablePath: string): string
  createPropertyPath(metadata: EntityMetadata, values: object): string[]
  createCteExpression(): string
  replacePropertyNamesForTheWholeQuery(sql: string): string
  getParameters(): ObjectLiteral
  readonly execute: (this: Builder) => Promise<WriteResult>
  readonly createReturningExpression: (this: Builder, kind: 'insert' | 'update' | 'delete') => string
  readonly createWhereExpression: (this: Builder) => string
}

/** `InsertResult`, `UpdateResult` or `DeleteResult`. */
export interface WriteResult {
  raw: unknown
  affected?: number | null
  generatedMaps?: object[]
}

/** What a builder is about to write. */
export interface Target {
  readonly metadata: EntityMetadata
  readonly kind: WriteKind
}

const kinds: Readonly<Record<string, WriteKind>> = {
  insert: 'insert',
  update: 'update',
  delete: 'delete',
  'soft-delete': 'soft delete',
  restore: 'restore',
}

/** The entity that a builder writes to; undefined for a table without one, and when there is nothing to insert. */
export function targetOf({ expressionMap }: Builder): Target | undefined {
  const { queryType, mainAlias, valuesSet, insertFromSelect } = expressionMap
  const kind = kinds[queryType]
  if (kind === undefined || !mainAlias?.hasMetadata) return undefined
  const empty = Array.isArray(valuesSet) && valuesSet.length === 0 && insertFromSelect === undefined
  return kind === 'insert' && empty ? undefined : { metadata: mainAlias.metadata, kind }
}

/** The entities or values that a statement sets: those of an insert one by one. */
export function valuesOf({ expressionMap: { valuesSet } }: Builder): readonly object[] {
  if (valuesSet === undefined) return []
  return Array.isArray(valuesSet) ? (valuesSet as object[]) : [valuesSet]
}

/** The columns that an UPDATE sets. */
export function columnsSet(builder: Builder, metadata: EntityMetadata): Set<Column> {
  const paths = valuesOf(builder).flatMap((values) => builder.createPropertyPath(metadata, values))
  return new Set(paths.flatMap((path) => metadata.findColumnsWithPropertyPath(path)))
}

/** The columns that an UPDATE may change: those that it sets, and those that change by themselves. */
export function columnsUpdated(set: ReadonlySet<Column>, metadata: EntityMetadata): Column[] {
  return metadata.columns.filter(
    (column) =>
      set.has(column) || column.isUpdateDate || column.isVersion || column.asExpression !== undefined,
  )
}

/** Of TypeORM 0.3; 1.x takes no native parameters any more. */
interface Escaping {
  escapeQueryWithParameters(sql: string, parameters: object, nativeParameters: object): [string, unknown[]]
}

/** The keys of the rows that a statement will find, read with its own criteria. */
export async function keysMatching(
  builder: Builder,
  queryRunner: QueryRunner,
  metadata: EntityMetadata,
): Promise<ObjectLiteral[]> {
  const rows = await rowsMatching(builder, queryRunner, metadata, [])
  return rows.map((row) => idOf(metadata, row))
}

/**
 * The keys of the rows that a statement will find, with other columns, read with its own criteria; inside a transaction
 * locked, so that they are what the statement replaces.
 */
export async function rowsMatching(
  builder: Builder,
  queryRunner: QueryRunner,
  metadata: EntityMetadata,
  columns: readonly Column[],
): Promise<RawRow[]> {
  const names = [...metadata.primaryColumns, ...columns].map(({ databaseName }) =>
    builder.escape(databaseName),
  )
  const table = builder.getTableName(metadata.tablePath)
  const where = builder.createWhereExpression()
  const lock = queryRunner.isTransactionActive && hasRowLocks(queryRunner.connection.options.type)
  const select =
    `${builder.createCteExpression()}SELECT ${names.join(', ')} FROM ${table}${where}` +
    (lock ? ' FOR UPDATE' : '')
  const driver = queryRunner.connection.driver as Escaping
  const [sql, parameters] = driver.escapeQueryWithParameters(
    builder.replacePropertyNamesForTheWholeQuery(select),
    builder.getParameters(),
    {},
  )
  const { records } = await queryRunner.query(sql, parameters, true)
  return records as RawRow[]
}
