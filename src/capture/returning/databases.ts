import type { DataSource } from 'typeorm'

import type { WriteKind } from '../changes.ts'

/** Whether statements of this kind return rows, by the names of their columns, through TypeORM's builders. */
export function returnsRows({ driver, options }: DataSource, kind: WriteKind): boolean {
  if (options.type === 'postgres') return true
  // Its UPDATE returns new values only, and it is read before like those of the others.
  if (options.type === 'cockroachdb') return kind !== 'update'
  // Its INSERT can too, but only the event of an insert has what a builder gives back without RETURNING.
  return options.type === 'mariadb' && kind === 'delete' && driver.isReturningSqlSupported('delete')
}

/** Whether an UPDATE can be joined with a subquery that locks the rows, and returns them as they were. */
export function joinsOldRows({ options }: DataSource): boolean {
  return options.type === 'postgres'
}

const pooled: ReadonlySet<string> = new Set(['postgres', 'cockroachdb', 'mysql', 'mariadb'])

/** Whether a statement that is given no query runner has a connection to itself, so that it can have a transaction. */
export function isPooled({ options }: DataSource): boolean {
  return pooled.has(options.type)
}
