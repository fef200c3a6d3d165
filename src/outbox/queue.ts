import type { QueryRunner } from 'typeorm'

import type { OutboxEntry } from './entry.ts'
import { holdingLocks, inReadCommitted } from './holding.ts'
import { LookFrom } from './look-from.ts'
import type { Dialect, OutboxTable } from './outbox-table.ts'

/** What became of entries that were in hand; the others are done. */
export interface Outcome {
  /** They cannot be read, and why: they stay in the table, marked. */
  readonly unreadable: ReadonlyMap<OutboxEntry, string>
  /** They stay as they are. */
  readonly left: ReadonlySet<OutboxEntry>
}

/** How much waits in the outbox. */
export interface OutboxStatus {
  /** Rows that no relay has published yet. */
  length: number
  /** Age in ms of the first of them; 0 when there is none. */
  oldestMs: number
  /** Rows that no relay could read: they wait for a newer version, or for somebody to delete them. */
  setAside: number
}

/** What is to be taken, and for how long it may be in hand. */
export interface Hold {
  /** Most entries. */
  readonly limit: number
  /** Sources whose entries are left where they are. */
  readonly passedOver: readonly string[]
  /** After so many ms without a word from whoever has them, the database gives them to others. */
  readonly heldMs: number
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
   * @returns the number of entries that were taken
   */
  async take(
    { limit, passedOver, heldMs }: Hold,
    publish: (entries: readonly OutboxEntry[], queryRunner: QueryRunner) => Promise<Outcome>,
  ): Promise<number> {
    const { dialect } = this.table
    return this.#onRunner((queryRunner) => {
      const taking = async (): Promise<number> => {
        const entries = await this.#waiting(queryRunner, limit, passedOver)
        if (entries.length > 0) await this.#settle(queryRunner, entries, await publish(entries, queryRunner))
        return entries.length
      }
      return dialect === 'sqlite' ? taking() : holdingLocks(queryRunner, dialect, heldMs, taking)
    })
  }

  /** Takes the marks off entries that could not be read; returns how many there were. */
  async tryAgain(): Promise<number> {
    const { quoted, dialect } = this.table
    return this.#onRunner(async (queryRunner) => {
      const sql = `UPDATE ${quoted} SET problem = NULL WHERE problem IS NOT NULL`
      const update = (): Promise<{ affected?: number }> => queryRunner.query(sql, [], true)
      const { affected } = await (dialect === 'sqlite' ? update() : inReadCommitted(queryRunner, update))
      return affected ?? 0
    })
  }

  /** The newest row that waits; undefined when none does. */
  async newest(): Promise<string | undefined> {
    return this.#waits('1 = 1', 'DESC')
  }

  /** The oldest row that waits and is not newer than another; undefined when all of them are published. */
  async oldestUpTo(id: string): Promise<string | undefined> {
    return this.#waits(`id <= ${BigInt(id)}`, 'ASC')
  }

  async #waits(condition: string, order: 'ASC' | 'DESC'): Promise<string | undefined> {
    const { quoted } = this.table
    const [row] = await this.#select(
      `SELECT id FROM ${quoted} WHERE ${condition} AND problem IS NULL ORDER BY id ${order} LIMIT 1`,
    )
    return row && String(row['id'])
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

  async #waiting(
    queryRunner: QueryRunner,
    limit: number,
    passedOver: readonly string[],
  ): Promise<OutboxEntry[]> {
    const began = performance.now()
    const from = this.#lookFrom.at(began)
    const [id, ...sources] = this.table.placeholders(1 + passedOver.length)
    const others = sources.length === 0 ? '' : `AND source NOT IN (${sources.join(', ')}) `
    const lock = this.table.dialect === 'sqlite' ? '' : ' FOR UPDATE SKIP LOCKED'
    const rows = (await queryRunner.query(
      `SELECT id, kind, source, body FROM ${this.table.quoted} WHERE id > ${id} AND problem IS NULL ${others}` +
        `ORDER BY id LIMIT ${limit}${lock}`,
      [String(from), ...passedOver],
    )) as { id: string | number; kind: string; source: string; body: string }[]
    const last = rows.at(-1)
    this.#lookFrom.looked(from, last && BigInt(last.id), began, performance.now())
    return rows.map((row) => ({ ...row, id: String(row.id) }))
  }

  async #settle(
    queryRunner: QueryRunner,
    entries: readonly OutboxEntry[],
    { unreadable, left }: Outcome,
  ): Promise<void> {
    const { quoted } = this.table
    const done = entries.filter((entry) => !unreadable.has(entry) && !left.has(entry)).map(({ id }) => id)
    if (done.length > 0) await this.#delete(queryRunner, done)
    const [problem, id] = this.table.placeholders(2)
    for (const [entry, reason] of unreadable) {
      await queryRunner.query(`UPDATE ${quoted} SET problem = ${problem} WHERE id = ${id}`, [
        reason.slice(0, 1_000),
        entry.id,
      ])
    }
  }

  async #delete(queryRunner: QueryRunner, ids: readonly string[]): Promise<void> {
    const { quoted, dialect } = this.table
    if (dialect === 'mysql') {
      // With a list of ids it may read the whole table, and wait for each row that an open transaction has written.
      const taken = "JSON_TABLE(?, '$[*]' COLUMNS (id bigint PATH '$')) taken"
      const sql = `DELETE entry FROM ${taken} STRAIGHT_JOIN ${quoted} entry ON entry.id = taken.id`
      await queryRunner.query(sql, [JSON.stringify(ids)])
      return
    }
    const places = this.table.placeholders(ids.length).join(', ')
    await queryRunner.query(`DELETE FROM ${quoted} WHERE id IN (${places})`, [...ids])
  }
}
