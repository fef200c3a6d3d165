import type { DataSource, QueryRunner } from 'typeorm'

import { isPostgres } from './row-lock.ts'

/** One thing in the database that captures changes, and what is to be done, or was done, about it. */
export interface DatabaseStep {
  /** What it is, for people: `table redstream.outbox`. */
  readonly object: string
  readonly action: 'create' | 'replace' | 'drop' | 'nothing'
  /** Why, where that is not plain. */
  readonly reason?: string
  /** The statement that does it; empty when there is nothing to do. */
  readonly sql: string
}

/** Objects of the database that belong together, such as the outbox or the triggers. */
export interface DatabasePart {
  /** What `redstream init` would do. Nothing is changed, and nothing is ever removed by it: old applications may need it. */
  plan(): Promise<DatabaseStep[]>
  /** Does what {@link plan} says, and returns it. May run any number of times. */
  apply(): Promise<DatabaseStep[]>
  /** What {@link remove} would do. Nothing is changed. */
  planRemoval(what: Removal): Promise<DatabaseStep[]>
  /**
   * Removes it, and returns the steps that {@link planRemoval} says.
   *
   * @throws RedstreamError INDEX when something would be lost
   */
  remove(what: Removal): Promise<DatabaseStep[]>
}

/** What `redstream uninstall` removes: `unused` is what the configuration does not need (any more). */
export type Removal = 'everything' | 'unused'

/** Carries steps out, in their order, each on its own. */
export async function carryOut(queryRunner: QueryRunner, steps: readonly DatabaseStep[]): Promise<void> {
  for (const { action, sql } of steps) if (action !== 'nothing') await queryRunner.query(sql)
}

/**
 * Does something about the objects while no other process does: `CREATE … IF NOT EXISTS` fails when two do the same at
 * the same moment.
 *
 * @param name - what the processes agree on
 */
export async function alone<T>(dataSource: DataSource, name: string, action: () => Promise<T>): Promise<T> {
  const lock = lockStatements(dataSource.options.type)
  if (lock === undefined) return action()
  const queryRunner = dataSource.createQueryRunner('master')
  try {
    await queryRunner.query(lock.take, [name])
    try {
      return await action()
    } finally {
      await queryRunner.query(lock.release, [name])
    }
  } finally {
    await queryRunner.release()
  }
}

function lockStatements(
  type: DataSource['options']['type'],
): { readonly take: string; readonly release: string } | undefined {
  if (isPostgres(type)) {
    return {
      take: 'SELECT pg_advisory_lock(hashtext($1))',
      release: 'SELECT pg_advisory_unlock(hashtext($1))',
    }
  }
  if (type === 'mysql' || type === 'mariadb')
    return { take: 'SELECT GET_LOCK(?, 60)', release: 'SELECT RELEASE_LOCK(?)' }
  return undefined
}
