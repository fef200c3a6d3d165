import type { DataSource, QueryRunner } from 'typeorm'

import type { Logger } from '../runtime/logger.ts'
import { transactionText, type TransactionText } from '../streams/transaction.ts'

/** SQLSTATE in_failed_sql_transaction. */
const hasFailedBefore = '25P02'

/**
 * Says which transaction is open, in the words of the delay stream.
 *
 * Its id would cost each save too much: PostgreSQL gives it with the first write, and to ask for it then takes the
 * database and the driver longer than the rest of the delay message. So it is asked for only by transactions that take
 * long anyway. See docs/decisions/0023-a-delay-that-asks.md.
 */
export class TransactionIds {
  /** A transaction of this database that was open when this was written. */
  readonly some: TransactionText
  readonly #cluster: string

  private constructor(cluster: string) {
    this.#cluster = cluster
    this.some = transactionText(cluster, '')
  }

  /**
   * @returns undefined where nobody can be asked about transactions later: on other databases, and, which is logged,
   * before PostgreSQL 13 and where the role may not call the functions
   */
  static async of(dataSource: DataSource, logger: Logger): Promise<TransactionIds | undefined> {
    if (dataSource.options.type !== 'postgres') return undefined
    // The others are there to fail where they cannot be called.
    const sql =
      'SELECT system_identifier::text AS cluster, pg_current_xact_id_if_assigned(), ' +
      "pg_xact_status('3'::xid8) FROM pg_control_system()"
    try {
      const [row] = (await dataSource.query(sql)) as [{ cluster: string }]
      return new TransactionIds(row.cluster)
    } catch (error) {
      logger.warn(
        { err: error },
        'the database cannot be asked about transactions, so delay messages do not say which one they belong to, and are re-queued by their age (settings delay and delay.ask)',
      )
      return undefined
    }
  }

  /**
   * The transaction that is open: the outermost one, also within savepoints.
   *
   * @returns undefined when it has changed nothing yet, or can do nothing more but end
   * @throws the database's error, with which the transaction has failed: PostgreSQL would answer COMMIT with ROLLBACK, and
   * TypeORM take that for success
   */
  async open(queryRunner: QueryRunner): Promise<TransactionText | undefined> {
    const sql = 'SELECT pg_current_xact_id_if_assigned()::text AS id'
    try {
      const [row] = (await queryRunner.query(sql)) as [{ id: string | null }]
      return row.id === null ? undefined : transactionText(this.#cluster, row.id)
    } catch (error) {
      if ((error as { code?: unknown }).code === hasFailedBefore) return undefined
      throw error
    }
  }
}
