import type { DataSource, QueryRunner } from 'typeorm'

import { RedstreamError } from '../errors.ts'
import { chunksOf, type NewEntry } from './entry.ts'
import { ring } from './ring.ts'

/** The families of databases that the outbox knows. */
export type Dialect = 'postgres' | 'mysql' | 'sqlite'

const dialects: Readonly<Record<string, Dialect>> = {
  postgres: 'postgres',
  mysql: 'mysql',
  mariadb: 'mysql',
  'better-sqlite3': 'sqlite',
  sqlite: 'sqlite',
  sqljs: 'sqlite',
}

/** Rows in one INSERT: SQLite takes 32,766 parameters. */
const rowsPerInsert = 200
/** Characters in one INSERT: MariaDB takes 16 MiB (`max_allowed_packet`), with what is escaped. */
const charactersPerInsert = 2 * 1024 * 1024

/** Whether a database may have an outbox. */
export function knowsOutbox({ options: { type } }: DataSource): boolean {
  return type in dialects
}

/**
 * The family of a database.
 *
 * @throws RedstreamError CONFIG when the outbox does not know it
 */
export function dialectOf({ options: { type } }: DataSource): Dialect {
  const dialect = dialects[type]
  if (dialect !== undefined) return dialect
  throw new RedstreamError(
    'CONFIG',
    `capture "outbox" knows PostgreSQL, MySQL, MariaDB and SQLite, and not "${type}"; use "subscriber" (setting capture)`,
  )
}

/** Where the outbox is: a schema of its own where there are schemas, else a prefix. */
export function outboxPlace(
  type: DataSource['options']['type'],
  captureSchema: string,
): { readonly schema?: string; readonly table: string } {
  return type === 'postgres'
    ? { schema: captureSchema, table: 'outbox' }
    : { table: `${captureSchema}_outbox` }
}

/** The channel of PostgreSQL's NOTIFY on which whoever fills the outbox wakes the relays. */
export function outboxChannel(captureSchema: string): string {
  return `${captureSchema}_outbox`
}

/** The table that holds changes between the transaction that made them and the relay that publishes them. */
export class OutboxTable {
  readonly dataSource: DataSource
  readonly dialect: Dialect
  /** On PostgreSQL. */
  readonly schema: string | undefined
  /** As TypeORM has it: `redstream.outbox`, `redstream_outbox`. */
  readonly path: string
  /** The same, quoted for SQL. */
  readonly quoted: string
  readonly channel: string

  /** @throws RedstreamError CONFIG when the outbox does not know the database */
  constructor(dataSource: DataSource, captureSchema: string) {
    this.dataSource = dataSource
    this.dialect = dialectOf(dataSource)
    const { schema, table } = outboxPlace(dataSource.options.type, captureSchema)
    const parts = schema === undefined ? [table] : [schema, table]
    this.schema = schema
    this.path = parts.join('.')
    this.quoted = parts.map((part) => dataSource.driver.escape(part)).join('.')
    this.channel = outboxChannel(captureSchema)
  }

  /** Placeholders for values in SQL, from `$<first + 1>` on where they have numbers. */
  placeholders(count: number, first = 0): string[] {
    return Array.from({ length: count }, (_, index) =>
      this.dataSource.driver.createParameter('', first + index),
    )
  }

  /** Whether the table is there, for a role that may do anything with it. */
  async exists(): Promise<boolean> {
    return this.onRunner((queryRunner) => queryRunner.hasTable(this.path))
  }

  /** @throws RedstreamError DATABASE when the table is not there */
  async check(): Promise<void> {
    if (!(await this.exists())) throw missing(this.path)
  }

  /**
   * Adds entries, and wakes the relays when the transaction commits.
   *
   * @param wakes - false: more is to come, or {@link wake}. Default: true
   * @throws RedstreamError DATABASE when the table is missing or may not be written to; other errors of the database as
   * they are
   */
  async write(queryRunner: QueryRunner, entries: readonly NewEntry[], wakes = true): Promise<void> {
    try {
      const chunks = chunksOf(entries, rowsPerInsert, charactersPerInsert, ({ body }) => body.length)
      for (const [i, rows] of chunks.entries()) {
        await queryRunner.query(...this.#insert(rows, wakes && i === chunks.length - 1))
      }
    } catch (error) {
      throw this.describe(error)
    }
  }

  /** Wakes the relays when the transaction commits, for entries that were written before. */
  async wake(queryRunner: QueryRunner): Promise<void> {
    if (this.dialect === 'postgres') await queryRunner.query(`SELECT ${ring(this.channel)}`)
  }

  /** Runs something on a connection to the primary database that is released after it. */
  async onRunner<T>(action: (queryRunner: QueryRunner) => Promise<T>): Promise<T> {
    const queryRunner = this.dataSource.createQueryRunner('master')
    try {
      return await action(queryRunner)
    } finally {
      await queryRunner.release()
    }
  }

  #insert(rows: readonly NewEntry[], wakes: boolean): [string, string[]] {
    const values = rows.map((_, index) => `(${this.placeholders(3, index * 3).join(', ')})`)
    const parameters = rows.flatMap(({ kind, source, body }) => [kind, source, body])
    const insert = `INSERT INTO ${this.quoted} (kind, source, body) VALUES ${values.join(', ')}`
    if (this.dialect !== 'postgres' || !wakes) return [insert, parameters]
    // In one statement, to spare the transaction a round trip. PostgreSQL sends it at the commit, once.
    return [`WITH written AS (${insert}) SELECT ${ring(this.channel)}`, parameters]
  }

  /** Turns an error of a statement on the table into one that says what to do; leaves others as they are. */
  describe(error: unknown): unknown {
    if (isMissingTable(error)) return missing(this.path, error)
    if (codeOf(error) !== '42501') return error
    return new RedstreamError(
      'DATABASE',
      `this role may not use ${this.path}, through which changes go: GRANT USAGE ON SCHEMA ${this.schema} to it, and on ` +
        'the table INSERT to the application, SELECT, UPDATE and DELETE to the relay',
      { cause: error },
    )
  }
}

/** Whether a statement failed because its table is not there. */
export function isMissingTable(error: unknown): boolean {
  const code = codeOf(error)
  // PostgreSQL: undefined_table and invalid_schema_name. SQLite has one code for every wrong statement.
  if (code === '42P01' || code === '3F000' || code === 'ER_NO_SUCH_TABLE') return true
  return code === 'SQLITE_ERROR' && error instanceof Error && error.message.includes('no such table')
}

/** The code of an error of the database, as its driver has it. */
export function codeOf(error: unknown): unknown {
  const driverError = (error as { driverError?: unknown } | null)?.driverError ?? error
  return (driverError as { code?: unknown } | null)?.code
}

function missing(path: string, cause?: unknown): RedstreamError {
  return new RedstreamError(
    'DATABASE',
    `the table ${path} does not exist, into which changes are written with capture "outbox"; run \`redstream init\` ` +
      'with the same configuration, or add outboxEntity() to your own migrations (setting captureSchema)',
    { cause },
  )
}
