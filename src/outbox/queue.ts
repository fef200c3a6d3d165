import type { QueryRunner } from 'typeorm'

import type { OutboxEntry } from './entry.ts'
import { LookFrom } from './look-from.ts'
import type { Dialect, OutboxTable } from './outbox-table.ts'

/** How much waits in the outbox. */
export interface OutboxStatus {
  /** Rows that no relay has published yet. */
  length: number
  /** Age in ms of the first of them; 0 when there is none. */
  oldestMs: number
  /** Rows that no relay could read: they wait for a newer version, or for somebody to delete them. */
  setAside: number
}

const ageMs = {
  postgres: 'extract(epoch FROM clock_timestamp() - written_at) * 1000',
  mysql: 'TIMESTAMPDIFF(MICROSECOND, written_at, CURRENT_TIMESTAMP(6)) / 1000',
  sqlite: "(julianday('now') - julianday(written_at)) * 86400000",
} as const satisfies Record<Dialect, string>

/** The outbox as its readers see it: what waits in it is taken in the order in which it was written, roughly. */
export class OutboxQueue {
  readonly table: OutboxTable
  readonly #lookFrom = new LookFrom()

  constructor(table: OutboxTable) {
    this.table = table
  }

  /**
   * Hands over entries that nobody else has in hand, and removes them when `publish` resolves; when it rejects they stay.
   *
   * Where the database can skip locked rows, they are locked until they are removed, so that several relays share the
   * work. In SQLite they would publish the same entries twice, which is harmless.
   *
   * @param publish - resolves with the entries that cannot be read, and why: they stay in the table, marked
   * @returns the number of entries that were taken
   */
  async take(
    limit: number,
    publish: (entries: readonly OutboxEntry[]) => Promise<ReadonlyMap<OutboxEntry, string>>,
  ): Promise<number> {
    return this.#onRunner(async (queryRunner) => {
      const locks = this.table.dialect !== 'sqlite'
      // Under MySQL's default, the lock would cover the gap behind the last row, and with it everybody's INSERT.
      if (locks) await queryRunner.startTransaction('READ COMMITTED')
      try {
        const entries = await this.#waiting(queryRunner, limit, locks)
        if (entries.length > 0) await this.#settle(queryRunner, entries, await publish(entries))
        if (locks) await queryRunner.commitTransaction()
        return entries.length
      } catch (error) {
        // It fails when the connection is gone, and the transaction with it.
        if (queryRunner.isTransactionActive) await queryRunner.rollbackTransaction().catch(() => undefined)
        throw error
      }
    })
  }

  /** Takes the marks off entries that could not be read; returns how many there were. */
  async tryAgain(): Promise<number> {
    const { quoted } = this.table
    return this.#onRunner(async (queryRunner) => {
      const sql = `UPDATE ${quoted} SET problem = NULL WHERE problem IS NOT NULL`
      const { affected } = await queryRunner.query(sql, [], true)
      return affected ?? 0
    })
  }

  /** Whether nothing waits. */
  async isEmpty(): Promise<boolean> {
    const { quoted } = this.table
    const rows = await this.#select(`SELECT 1 AS waits FROM ${quoted} WHERE problem IS NULL LIMIT 1`)
    return rows.length === 0
  }

  async status(): Promise<OutboxStatus> {
    const { quoted, dialect } = this.table
    const [counts] = await this.#select(
      `SELECT count(*) AS entries, sum(CASE WHEN problem IS NULL THEN 0 ELSE 1 END) AS aside FROM ${quoted}`,
    )
    const [oldest] = await this.#select(
      `SELECT ${ageMs[dialect]} AS age FROM ${quoted} WHERE problem IS NULL ORDER BY id LIMIT 1`,
    )
    const setAside = Number(counts?.['aside'] ?? 0)
    return {
      length: Number(counts?.['entries'] ?? 0) - setAside,
      oldestMs: Math.max(0, Math.round(Number(oldest?.['age'] ?? 0))),
      setAside,
    }
  }

  async #select(sql: string): Promise<Record<string, unknown>[]> {
    return this.#onRunner(async (queryRunner) => (await queryRunner.query(sql)) as Record<string, unknown>[])
  }

  async #onRunner<T>(action: (queryRunner: QueryRunner) => Promise<T>): Promise<T> {
    try {
      return await this.table.onRunner(action)
    } catch (error) {
      throw this.table.describe(error)
    }
  }

  async #waiting(queryRunner: QueryRunner, limit: number, locks: boolean): Promise<OutboxEntry[]> {
    const began = performance.now()
    const from = this.#lookFrom.at(began)
    const [id] = this.table.placeholders(1)
    const rows = (await queryRunner.query(
      `SELECT id, kind, source, body FROM ${this.table.quoted} WHERE id > ${id} AND problem IS NULL ` +
        `ORDER BY id LIMIT ${limit}${locks ? ' FOR UPDATE SKIP LOCKED' : ''}`,
      [String(from)],
    )) as { id: string | number; kind: string; source: string; body: string }[]
    const last = rows.at(-1)
    this.#lookFrom.looked(from, last && BigInt(last.id), began, performance.now())
    return rows.map((row) => ({ ...row, id: String(row.id) }))
  }

  async #settle(
    queryRunner: QueryRunner,
    entries: readonly OutboxEntry[],
    unreadable: ReadonlyMap<OutboxEntry, string>,
  ): Promise<void> {
    const { quoted } = this.table
    const done = entries.filter((entry) => !unreadable.has(entry)).map(({ id }) => id)
    if (done.length > 0) {
      const ids = this.table.placeholders(done.length).join(', ')
      await queryRunner.query(`DELETE FROM ${quoted} WHERE id IN (${ids})`, done)
    }
    const [problem, id] = this.table.placeholders(2)
    for (const [entry, reason] of unreadable) {
      await queryRunner.query(`UPDATE ${quoted} SET problem = ${problem} WHERE id = ${id}`, [
        reason.slice(0, 1_000),
        entry.id,
      ])
    }
  }
}
