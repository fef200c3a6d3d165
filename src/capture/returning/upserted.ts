import type { EntityMetadata, QueryRunner } from 'typeorm'

import { hydrated, persisted, type Column, type RowChange } from '../changes.ts'
import { rowsWith } from '../database-cascade.ts'
import { idOf } from '../key-pages.ts'
import { valuesOf, type Builder } from './builder.ts'
import type { ReadChanges } from './read-first.ts'

/**
 * The foreign keys that an upsert may replace: those that somebody wants, unless the builder says that it leaves them
 * as they are.
 */
export function columnsReplaced({ expressionMap }: Builder, foreignKeys: readonly Column[]): Column[] {
  const { onUpdate, onConflict } = expressionMap
  // Of TypeORM 0.3: SQL of the user. An empty text where 1.x has nothing.
  if ((onConflict ?? '') !== '') return [...foreignKeys]
  if (onUpdate === undefined) return []
  const { overwrite } = onUpdate
  return foreignKeys.filter(({ databaseName }) => overwrite === undefined || overwrite.includes(databaseName))
}

/**
 * The rows that an upsert will find, with the foreign keys that they have before it: it returns only what they have
 * afterwards. Inside a transaction they are locked. A row that another transaction inserts at that very moment is not
 * among them.
 *
 * @returns incomplete when only the database can say which rows these are
 */
export async function rowsUpserted(
  builder: Builder,
  queryRunner: QueryRunner,
  metadata: EntityMetadata,
  replaced: readonly Column[],
): Promise<ReadChanges> {
  const changes: RowChange[] = []
  const values = valuesOf(builder)
  let complete = builder.expressionMap.insertFromSelect === undefined
  for (const unique of uniqueColumns(builder, metadata)) {
    const asked = values.map((row) => unique.map((column): unknown => column.getEntityValue(row)))
    const told = asked.filter((parts) => parts.every((part) => typeof part !== 'function'))
    if (told.length < asked.length) complete = false
    const persistent = told.map((parts) => parts.map((part, i) => persisted(unique[i]!, part)))
    const wanted = [...new Set([...metadata.primaryColumns, ...replaced])]
    for await (const rows of rowsWith(queryRunner, metadata, wanted, unique, persistent)) {
      for (const row of rows) {
        const before = replaced.map((column) => [
          column.databaseName,
          hydrated(column, row[column.databaseName]),
        ])
        changes.push({
          metadata,
          kind: 'update',
          key: idOf(metadata, row),
          before: Object.fromEntries(before) as Record<string, unknown>,
        })
      }
    }
  }
  return { changes, complete }
}

/** The columns by which a row may be found: those that the builder names, else those of every unique index. */
function uniqueColumns({ connection, expressionMap }: Builder, metadata: EntityMetadata): Column[][] {
  const conflict = expressionMap.onUpdate?.conflict
  const { type } = connection.options
  // MySQL's looks at every unique index, whatever the builder was told.
  if (Array.isArray(conflict) && type !== 'mysql' && type !== 'mariadb') {
    return [metadata.columns.filter(({ databaseName }) => conflict.includes(databaseName))]
  }
  const { primaryColumns, uniques, indices } = metadata
  return [
    primaryColumns,
    ...uniques.map(({ columns }) => columns),
    ...indices.filter(({ isUnique }) => isUnique).map(({ columns }) => columns),
  ]
}
