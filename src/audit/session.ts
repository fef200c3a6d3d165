import type { DataSource, QueryRunner } from 'typeorm'

import { RedstreamError } from '../errors.ts'
import { pause } from '../runtime/backoff.ts'

const tries = 50
const pauseMs = 100

/** The schema in which an audit puts what it needs, beside that of the source which captures. */
export function auditSchemaOf(captureSchema: string): string {
  return `${captureSchema}_audit`
}

/** The comment by which what an audit has made is known: a schema or publication of somebody else may have its name. */
export const auditMark = 'Made by redstream audit, which removes it at its end'

/**
 * The connection of an audit to the primary database. It holds a lock as long as it lives, so that there is one audit at
 * a time, and the triggers of one that was killed know that nobody reads what they write.
 */
export class AuditSession {
  readonly #queryRunner: QueryRunner
  readonly #lock: string

  private constructor(queryRunner: QueryRunner, lock: string) {
    this.#queryRunner = queryRunner
    this.#lock = lock
  }

  /**
   * @param lock - its name; see {@link lockOf}
   * @throws RedstreamError DATABASE when another audit runs
   */
  static async open(dataSource: DataSource, lock: string): Promise<AuditSession> {
    const session = new AuditSession(dataSource.createQueryRunner('master'), lock)
    try {
      // The triggers of an audit that was killed hold it, shared, until the transactions end that have fired them.
      for (let i = 0; i < tries; i++) {
        const sql = `SELECT pg_try_advisory_lock(${lockOf('$1')}) AS locked`
        const [answer] = await session.query<{ locked: boolean }>(sql, [lock])
        if (answer?.locked) return session
        await pause(pauseMs)
      }
      throw new RedstreamError(
        'DATABASE',
        `another redstream audit holds the lock "${lock}" of this database: one runs at a time; wait for it, or end it`,
      )
    } catch (error) {
      await session.#queryRunner.release()
      throw error
    }
  }

  /** @throws RedstreamError DATABASE, with the error of TypeORM as its cause */
  async query<T>(sql: string, parameters?: unknown[]): Promise<T[]> {
    try {
      return (await this.#queryRunner.query(sql, parameters)) as T[]
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      throw new RedstreamError('DATABASE', `the database refused a statement of the audit: ${reason}`, {
        cause: error,
      })
    }
  }

  /** The database's clock, in ms. */
  async nowMs(): Promise<number> {
    const [row] = await this.query<{ ms: number }>(
      'SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS ms',
    )
    return row!.ms
  }

  async close(): Promise<void> {
    // A connection that is lost has lost the lock with it.
    await this.query(`SELECT pg_advisory_unlock(${lockOf('$1')})`, [this.#lock]).catch(() => undefined)
    await this.#queryRunner.release()
  }
}

/** SQL for the number of a lock. @param name - SQL for its name */
export function lockOf(name: string): string {
  return `hashtext(${name})::bigint`
}
