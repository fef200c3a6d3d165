import type { DataSource, QueryRunner } from 'typeorm'

import { RedstreamError } from '../errors.ts'
import { Backoff } from '../runtime/backoff.ts'
import { poolSizeOf } from './pool-size.ts'
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
 * @param patienceS - how long to wait for another process, in s. Default: 60
 * @throws RedstreamError CONFIG when the pool has one connection; DATABASE when another process does not come to an end;
 *   whatever `action` throws
 */
export async function alone<T>(
  dataSource: DataSource,
  name: string,
  action: () => Promise<T>,
  patienceS = 60,
): Promise<T> {
  const lock = lockStatements(dataSource.options.type)
  if (lock === undefined) return action()
  if (poolSizeOf(dataSource) === 1) {
    throw new RedstreamError(
      'CONFIG',
      'the pool of the DataSource has one connection, and this needs two: one holds a lock, so that nobody else does the ' +
        'same, while the other one works; set poolSize to 2 or more',
    )
  }
  const queryRunner = dataSource.createQueryRunner('master')
  try {
    await takeLock(queryRunner, lock.take, name, patienceS)
    try {
      return await action()
    } finally {
      await queryRunner.query(lock.release, [name])
    }
  } finally {
    await queryRunner.release()
  }
}

async function takeLock(
  queryRunner: QueryRunner,
  tryIt: string,
  name: string,
  patienceS: number,
): Promise<void> {
  const giveUpMs = performance.now() + patienceS * 1_000
  const backoff = new Backoff(50, 1_000)
  for (;;) {
    // MySQL's drivers give the number as one or as a text.
    const [answer] = (await queryRunner.query(tryIt, [name])) as { taken: boolean | number | string | null }[]
    if (Number(answer!.taken) === 1) return
    if (performance.now() >= giveUpMs) {
      throw new RedstreamError(
        'DATABASE',
        `another \`redstream init\` or \`uninstall\` with the captureSchema "${name}" has not come to an end within ${patienceS} s, ` +
          'so nothing was done; let it end or end it, also its session in the database, which holds an advisory lock, and try again',
      )
    }
    await backoff.pause()
  }
}

function lockStatements(
  type: DataSource['options']['type'],
): { readonly take: string; readonly release: string } | undefined {
  if (isPostgres(type)) {
    return {
      take: 'SELECT pg_try_advisory_lock(hashtext($1)) AS taken',
      release: 'SELECT pg_advisory_unlock(hashtext($1))',
    }
  }
  if (type === 'mysql' || type === 'mariadb')
    return { take: 'SELECT GET_LOCK(?, 0) AS taken', release: 'SELECT RELEASE_LOCK(?)' }
  return undefined
}
