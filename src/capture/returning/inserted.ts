import type { DataSource, EntityMetadata, ObjectLiteral } from 'typeorm'

import { keyOf } from '../row-key.ts'
import { valuesOf, type Builder } from './builder.ts'

/** What is known of the keys of an INSERT whose rows are not returned to us, before it runs. */
export interface InsertedKeys {
  /** Keys that the values name and that TypeORM may overwrite with a guess of its own. */
  readonly named: readonly ObjectLiteral[]
  /** Whether these, and those that its events will name, are the keys of all rows that it writes. */
  readonly complete: boolean
}

/**
 * Databases that return no rows of an INSERT tell one number: the key of the first row (MySQL) or of the last one
 * (SQLite). TypeORM counts on from there, whatever it inserted: rows whose key was given, rows that an upsert found or
 * that were ignored. So events may name keys that no row of the statement has.
 */
export function insertedKeys(builder: Builder, metadata: EntityMetadata): InsertedKeys {
  const { connection: dataSource, expressionMap } = builder
  const { onUpdate, onConflict, onIgnore } = expressionMap
  const counted = metadata.primaryColumns.some(({ generationStrategy }) => generationStrategy === 'increment')
  const returned = dataSource.driver.isReturningSqlSupported('insert')
  const values = valuesOf(builder)
  const named = values.filter((row) => keyOf(metadata, row) !== undefined)
  const allNamed = named.length === values.length
  const complete = ((): boolean => {
    // TypeORM 0.3 has an empty text where 1.x has nothing.
    if (onUpdate !== undefined || (onConflict ?? '') !== '') {
      // An upsert leaves the row that it finds its key.
      return (
        (counted && returned) || (allNamed && conflictsByKeyOnly(dataSource, metadata, onUpdate?.conflict))
      )
    }
    if (!counted || returned || allNamed || values.length === 1) return true
    return named.length === 0 && !onIgnore
  })()
  return { named: counted && !returned ? named.map((row) => keyMap(metadata, row)) : [], complete }
}

/** Whether the row that an upsert finds is the one with the key of its values. */
function conflictsByKeyOnly(
  { options }: DataSource,
  { primaryColumns, uniques, indices }: EntityMetadata,
  target: string | readonly string[] | undefined,
): boolean {
  if (uniques.length === 0 && !indices.some(({ isUnique }) => isUnique)) return true
  // MySQL's looks at every unique index, whatever the builder was told.
  if (options.type === 'mysql' || options.type === 'mariadb' || !Array.isArray(target)) return false
  return primaryColumns.every(({ databaseName }) => target.includes(databaseName))
}

function keyMap({ primaryColumns }: EntityMetadata, row: object): ObjectLiteral {
  const key: ObjectLiteral = {}
  for (const column of primaryColumns) column.setEntityValue(key, column.getEntityValue(row))
  return key
}
