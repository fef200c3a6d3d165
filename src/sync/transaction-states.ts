import type { DataSource, QueryRunner } from 'typeorm'

import type { Logger } from '../runtime/logger.ts'
import {
  partsOfTransaction,
  type OpenTransactions,
  type TransactionState,
  type TransactionStates,
  type TransactionText,
} from '../streams/transaction.ts'

/**
 * `pg_xact_status` fails for ids that are not given yet, and nothing tells which is the next one without taking it. Those
 * below the snapshot's end are given. Above it, an id is either that of an open transaction, which holds a lock of
 * that name, or not known here: one that ended a moment ago counts as unknown too, until the next time.
 *
 * An id means nothing in another cluster. A standby that was promoted has the system identifier of its former primary,
 * and the same ids; before that, it does not know yet of all that its primary has begun, and says nothing.
 */
const statesSql = `
SELECT asked.id,
  (SELECT system_identifier::text FROM pg_control_system()) AS cluster,
  CASE
    WHEN pg_is_in_recovery() THEN NULL
    WHEN asked.id::xid8 < pg_snapshot_xmax(pg_current_snapshot()) THEN pg_xact_status(asked.id::xid8)
    WHEN asked.id::xid8::xid IN (
      SELECT transactionid FROM pg_locks
      WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted
    ) THEN 'in progress'
  END AS state
FROM unnest($1::text[]) AS asked (id)`

/**
 * Every transaction holds a lock on its virtual id from its beginning until others see its end. Those of other databases,
 * and the server's own (autovacuum), are not ours; a connection whose database is not told yet may be. A server of another
 * make may show no such locks; then not even ours.
 */
const openSql = `
SELECT EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'virtualxid' AND granted AND pid = pg_backend_pid()
  ) AS tells, (SELECT system_identifier::text FROM pg_control_system()) AS cluster, pg_is_in_recovery() AS replica,
  ARRAY(
    SELECT held.virtualxid FROM pg_locks held LEFT JOIN pg_stat_activity activity USING (pid)
    WHERE held.locktype = 'virtualxid' AND held.mode = 'ExclusiveLock' AND held.granted
      AND held.pid <> pg_backend_pid()
      AND (activity.datid IS NULL OR activity.datname = current_database() AND activity.usesysid IS NOT NULL)
  ) AS names`

/** A prepared transaction has given that lock up, and nothing tells which one it was. To be asked after the locks. */
const preparedSql = 'SELECT 1 FROM pg_prepared_xacts WHERE database = current_database() LIMIT 1'

interface OpenRow {
  readonly tells: boolean
  readonly cluster: string
  readonly replica: boolean
  readonly names: string[]
}

interface StateRow {
  readonly id: string
  readonly cluster: string
  readonly state: TransactionState | null
}

/** The function or its type does not exist (before PostgreSQL 13, or something like it), or the role may not call it. */
const unableCodes: ReadonlySet<unknown> = new Set(['42883', '42704', '42501', '0A000'])
const largestId = 2n ** 64n - 1n

/** What became of transactions, as PostgreSQL says: the primary, because a replica learns of them later. */
export class PostgresTransactionStates implements TransactionStates {
  readonly #dataSource: DataSource
  readonly #logger: Logger
  #isUnable = false

  private constructor(dataSource: DataSource, logger: Logger) {
    this.#dataSource = dataSource
    this.#logger = logger
  }

  /** @returns undefined for databases that cannot be asked */
  static of(dataSource: DataSource, logger: Logger): TransactionStates | undefined {
    return dataSource.options.type === 'postgres'
      ? new PostgresTransactionStates(dataSource, logger)
      : undefined
  }

  async of(transactions: readonly TransactionText[]): Promise<Map<TransactionText, TransactionState>> {
    const ids = [...new Set(transactions.map((text) => partsOfTransaction(text).id))].filter(isId)
    const states = new Map((await this.#rows(ids)).map((row) => [`${row.cluster}:${row.id}`, row.state]))
    return new Map(transactions.map((text) => [text, states.get(text) ?? 'unknown']))
  }

  async open(): Promise<OpenTransactions | undefined> {
    const [row] = await this.#asked(async (queryRunner) => {
      const rows = (await queryRunner.query(openSql)) as OpenRow[]
      const prepared = (await queryRunner.query(preparedSql)) as unknown[]
      return prepared.length > 0 ? [] : rows
    })
    if (row === undefined || row.replica || !row.tells) return undefined
    return { cluster: row.cluster, names: new Set(row.names) }
  }

  async #rows(ids: readonly string[]): Promise<StateRow[]> {
    if (ids.length === 0) return []
    return this.#asked(async (queryRunner) => (await queryRunner.query(statesSql, [ids])) as StateRow[])
  }

  /** @returns nothing where the database cannot be asked */
  async #asked<Row>(question: (queryRunner: QueryRunner) => Promise<Row[]>): Promise<Row[]> {
    const queryRunner = this.#dataSource.createQueryRunner('master')
    try {
      return await question(queryRunner)
    } catch (error) {
      if (!unableCodes.has((error as { code?: unknown }).code)) throw error
      if (!this.#isUnable) {
        this.#logger.warn(
          { err: error },
          'the database cannot be asked what became of transactions, so delay messages go by their age (setting delay)',
        )
      }
      this.#isUnable = true
      return []
    } finally {
      await queryRunner.release()
    }
  }
}

/** What else a foreign entry may hold would fail the question for all. */
function isId(text: string): boolean {
  return /^\d{1,20}$/.test(text) && BigInt(text) <= largestId
}
