import type { QueryRunner } from 'typeorm'

import { carryOut, type DatabasePart, type DatabaseStep, type Removal } from '../capture/database-objects.ts'
import { RedstreamError } from '../errors.ts'
import { codeOf, type Dialect, type OutboxTable } from './outbox-table.ts'
import { dollarQuoted } from './triggers/sql.ts'

const columns = {
  postgres: `
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind text NOT NULL,
  source text NOT NULL,
  body text NOT NULL,
  written_at timestamptz NOT NULL DEFAULT now(),
  problem text
`,
  mysql: `
  id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  kind varchar(20) NOT NULL,
  source text NOT NULL,
  body longtext NOT NULL,
  written_at timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  problem text
`,
  sqlite: `
  id integer PRIMARY KEY AUTOINCREMENT,
  kind text NOT NULL,
  source text NOT NULL,
  body text NOT NULL,
  written_at datetime NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  problem text
`,
} as const satisfies Record<Dialect, string>

/**
 * What keeps the table of a queue small: it is vacuumed whenever autovacuum looks and some thousand rows were deleted,
 * however many there are, and without pauses. https://www.postgresql.org/docs/current/runtime-config-autovacuum.html
 */
const storage: Readonly<Record<string, string>> = {
  autovacuum_vacuum_scale_factor: '0',
  autovacuum_vacuum_threshold: '5000',
  autovacuum_vacuum_cost_delay: '0',
  autovacuum_analyze_scale_factor: '0',
  autovacuum_analyze_threshold: '50000',
  'toast.autovacuum_vacuum_scale_factor': '0',
  'toast.autovacuum_vacuum_threshold': '5000',
  'toast.autovacuum_vacuum_cost_delay': '0',
}

/** How long to wait for the table. Whoever wants it after us waits behind us. */
const lockSeconds = 3

/** The outbox among the things that `redstream init` makes. */
export class OutboxPart implements DatabasePart {
  readonly #table: OutboxTable

  constructor(table: OutboxTable) {
    this.#table = table
  }

  async plan(): Promise<DatabaseStep[]> {
    return this.#table.onRunner((queryRunner) => this.#plan(queryRunner))
  }

  async apply(): Promise<DatabaseStep[]> {
    return this.#table.onRunner(async (queryRunner) => {
      const steps = await this.#plan(queryRunner)
      await carryOut(queryRunner, steps)
      return steps
    })
  }

  async planRemoval(what: Removal): Promise<DatabaseStep[]> {
    if (what === 'unused') return []
    return this.#table.onRunner((queryRunner) => this.#planRemoval(queryRunner))
  }

  async remove(what: Removal): Promise<DatabaseStep[]> {
    if (what === 'unused') return []
    const { path } = this.#table
    return this.#table.onRunner(async (queryRunner) => {
      try {
        return await this.#withoutWriters(queryRunner, async () => {
          const steps = await this.#planRemoval(queryRunner)
          const lost = steps.find(({ reason }) => reason !== undefined)
          if (lost !== undefined) throw notEmpty(path, lost.reason!)
          await carryOut(queryRunner, steps)
          return steps
        })
      } catch (error) {
        throw removalFailed(path, error)
      }
    })
  }

  /**
   * What an open transaction has written is not seen yet, and would be dropped with the table once it is committed. So
   * nobody writes meanwhile; on PostgreSQL the statement that drops it sees to that itself.
   */
  async #withoutWriters<T>(queryRunner: QueryRunner, action: () => Promise<T>): Promise<T> {
    const { dialect, path, quoted } = this.#table
    if (dialect !== 'mysql' || !(await queryRunner.hasTable(path))) return action()
    await queryRunner.query(`SET SESSION lock_wait_timeout = ${lockSeconds}`)
    try {
      await queryRunner.query(`LOCK TABLES ${quoted} WRITE`)
      return await action()
    } finally {
      await queryRunner.query('UNLOCK TABLES')
      await queryRunner.query('SET SESSION lock_wait_timeout = DEFAULT')
    }
  }

  async #plan(queryRunner: QueryRunner): Promise<DatabaseStep[]> {
    const { schema, quoted, path, dialect } = this.#table
    const object = `table ${path}`
    const exists = await queryRunner.hasTable(path)
    const steps: DatabaseStep[] = []
    if (schema !== undefined && !(await hasSchema(queryRunner, schema))) {
      const sql = `CREATE SCHEMA ${this.#table.dataSource.driver.escape(schema)}`
      steps.push({ object: `schema ${schema}`, action: 'create', sql })
    }
    if (!exists) {
      const settings = dialect === 'postgres' ? ` WITH (${settingsOf(storage)})` : ''
      return [
        ...steps,
        { object, action: 'create', sql: `CREATE TABLE ${quoted} (${columns[dialect]})${settings}` },
      ]
    }
    const unset = dialect === 'postgres' ? await this.#unsetStorage(queryRunner) : {}
    if (Object.keys(unset).length === 0) return [...steps, { object, action: 'nothing', sql: '' }]
    const reason = `autovacuum is to keep it small: ${Object.keys(unset).join(', ')}`
    const sql = `ALTER TABLE ${quoted} SET (${settingsOf(unset)})`
    return [...steps, { object, action: 'replace', reason, sql }]
  }

  async #planRemoval(queryRunner: QueryRunner): Promise<DatabaseStep[]> {
    const { schema, path, quoted, dialect, dataSource } = this.#table
    const steps: DatabaseStep[] = []
    if (await queryRunner.hasTable(path)) {
      const rows = (await queryRunner.query(`SELECT count(*) AS entries FROM ${quoted}`)) as {
        entries: string | number
      }[]
      const entries = Number(rows[0]?.entries)
      const reason = entries === 0 ? {} : { reason: `${entries} ${unpublished}` }
      steps.push({ object: `table ${path}`, action: 'drop', ...reason, sql: dropTable(quoted, dialect) })
    }
    if (schema !== undefined && (await hasSchema(queryRunner, schema))) {
      // Not CASCADE: what somebody else has put there stays, and is named by PostgreSQL's error.
      const sql = `DROP SCHEMA ${dataSource.driver.escape(schema)}`
      steps.push({ object: `schema ${schema}`, action: 'drop', sql })
    }
    return steps
  }

  async #unsetStorage(queryRunner: QueryRunner): Promise<Record<string, string>> {
    const found = (await queryRunner.query(
      `SELECT main.reloptions AS main, toast.reloptions AS toast
      FROM pg_class main LEFT JOIN pg_class toast ON toast.oid = main.reltoastrelid WHERE main.oid = to_regclass($1)`,
      [this.#table.quoted],
    )) as { main: string[] | null; toast: string[] | null }[]
    const set = new Set([
      ...(found[0]?.main ?? []),
      ...(found[0]?.toast ?? []).map((option) => `toast.${option}`),
    ])
    return Object.fromEntries(Object.entries(storage).filter(([name, value]) => !set.has(`${name}=${value}`)))
  }
}

const unpublished = 'entries in it are not published yet'

/** What somebody commits between the count and the drop is not lost on PostgreSQL: it makes one transaction of this. */
function dropTable(quoted: string, dialect: Dialect): string {
  const drop = `DROP TABLE ${quoted}`
  if (dialect !== 'postgres') return drop
  const look = `BEGIN IF EXISTS (SELECT FROM ${quoted}) THEN RAISE EXCEPTION '${unpublished}'; END IF; END`
  return [
    `SET LOCAL lock_timeout = '${lockSeconds}s'`,
    `LOCK TABLE ${quoted} IN ACCESS EXCLUSIVE MODE`,
    `DO ${dollarQuoted(look)}`,
    drop,
  ].join(';\n')
}

function notEmpty(path: string, reason: string, cause?: unknown): RedstreamError {
  return new RedstreamError(
    'INDEX',
    `${path} is not removed: ${reason}; let \`redstream relay\` empty it, or delete what nobody needs, and try again`,
    { cause },
  )
}

function removalFailed(path: string, error: unknown): unknown {
  const code = codeOf(error)
  // raise_exception
  if (code === 'P0001') return notEmpty(path, unpublished, error)
  if (code !== '55P03' && code !== 'ER_LOCK_WAIT_TIMEOUT') return error
  return new RedstreamError(
    'DATABASE',
    `${path} is not removed: another transaction has held it for longer than ${lockSeconds} s; let it end, stop who ` +
      'writes with capture "outbox" or "trigger", and the relays, and try again',
    { cause: error },
  )
}

/** TypeORM's own question is answered with no where the role has no right to the schema. */
async function hasSchema(queryRunner: QueryRunner, schema: string): Promise<boolean> {
  const found = (await queryRunner.query(
    'SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS found',
    [schema],
  )) as { found: boolean }[]
  return found[0]?.found === true
}

function settingsOf(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} = ${value}`)
    .join(', ')
}
