import type { DataSource, QueryRunner } from 'typeorm'

import { transactionText, type TransactionText } from '../streams/transaction.ts'

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
   * @returns undefined where nobody can be asked about transactions later: on other databases, before PostgreSQL 13, and
   * where the role may not call the functions
   */
  static async of(dataSource: DataSource): Promise<TransactionIds | undefined> {
    if (dataSource.options.type !== 'postgres') return undefined
    // The others are there to fail where they cannot be called.
    const sql =
      'SELECT system_identifier::text AS cluster, pg_current_xact_id_if_assigned(), ' +
      "pg_xact_status('3'::xid8) FROM pg_control_system()"
    const rows: unknown = await dataSource.query(sql).catch(() => [])
    const [row] = rows as { cluster: string }[]
    return row && new TransactionIds(row.cluster)
  }

  /**
   * The transaction that is open: the outermost one, also within savepoints.
   *
   * @returns undefined when it has changed nothing yet, or can do nothing more but end
   */
  async open(queryRunner: QueryRunner): Promise<TransactionText | undefined> {
    const sql = 'SELECT pg_current_xact_id_if_assigned()::text AS id'
    const rows: unknown = await queryRunner.query(sql).catch(() => [])
    const [row] = rows as { id: string | null }[]
    return row?.id ? transactionText(this.#cluster, row.id) : undefined
  }
}
