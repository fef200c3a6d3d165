import type { DataSource, ObjectLiteral, SelectQueryBuilder } from 'typeorm'

// The file is locked as a whole by a transaction that writes.
const withoutRowLocks = new Set<string>([
  'better-sqlite3',
  'sqlite',
  'sqljs',
  'capacitor',
  'cordova',
  'expo',
  'nativescript',
  'react-native',
])

/**
 * Lets a query lock the rows of its alias until the end of the transaction, where the database knows that. In SQLite a
 * transaction that writes has the database for itself.
 */
export function lockRows<E extends ObjectLiteral>(
  query: SelectQueryBuilder<E>,
  dataSource: DataSource,
  alias: string,
): SelectQueryBuilder<E> {
  const { type } = dataSource.options
  if (!hasRowLocks(type)) return query
  // PostgreSQL refuses to lock what is joined from the outside; the others cannot be told which table is meant.
  return query.setLock('pessimistic_write', undefined, isPostgres(type) ? [alias] : undefined)
}

/** Whether rows can be locked one by one. */
export function hasRowLocks(type: DataSource['options']['type']): boolean {
  return !withoutRowLocks.has(type)
}

/** Whether it speaks PostgreSQL's SQL. */
export function isPostgres(type: DataSource['options']['type']): boolean {
  return type === 'postgres' || type === 'cockroachdb' || type === 'aurora-postgres'
}
