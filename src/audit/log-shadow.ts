import type { DataSource } from 'typeorm'

import type { WatchedTable } from '../capture/watched-table.ts'
import { RedstreamError } from '../errors.ts'
import { sqlStateOf } from '../sql-state.ts'
import type { Logger } from '../runtime/logger.ts'
import { missingIdentity, partProblem, tablesInDatabase, type TableInDatabase } from '../wal/catalog.ts'
import { publicationWays } from '../wal/log-part.ts'
import { checkServer } from '../wal/slot.ts'
import { LogDecoder } from './log-decoder.ts'
import { auditMark, type AuditSession } from './session.ts'
import type { Shadow, ShadowChange, ShadowRead } from './shadow.ts'

const rowsPerFetch = 5_000
/** How much of the time the server may spend on this: each look at the log begins some seconds back in it. */
const shareOfTime = 0.2
const leastPauseMs = 500
/** With `synchronous_commit = off`, a commit is in the log up to three times `wal_writer_delay` (200 ms) later. */
const asynchronousCommitMs = 1_000

/**
 * The log of PostgreSQL as the shadow. It is asked by SQL (`pg_logical_slot_get_binary_changes`) through a temporary slot of
 * the audit's own connection: the slot, and what it holds back of the log, goes with the connection, and nothing is read
 * faster than it is matched.
 *
 * Owns, in the database: a publication named after the audit's schema. It does no harm when it is left behind.
 */
export class LogShadow implements Shadow {
  // The log has the time of each commit.
  readonly resolutionMs = 0
  readonly #dataSource: DataSource
  readonly #session: AuditSession
  readonly #tables: readonly WatchedTable[]
  readonly #publication: string
  readonly #logger: Logger
  #slot = ''
  #decode: ((data: Buffer) => ShadowChange[]) | undefined
  #isFetching = false
  #completeMs = -Infinity
  /** When the look that is being fetched began. */
  #lookedMs = 0
  /** How long the server took for it. */
  #tookMs: number | undefined
  #notBefore = -Infinity

  constructor(
    dataSource: DataSource,
    session: AuditSession,
    tables: readonly WatchedTable[],
    auditSchema: string,
    logger: Logger,
  ) {
    this.#dataSource = dataSource
    this.#session = session
    this.#tables = tables
    this.#publication = auditSchema
    this.#logger = logger
  }

  async open(): Promise<void> {
    try {
      const facts = await checkServer(this.#dataSource, 'audit against "wal"')
      const tables = await this.#tablesInDatabase()
      const names = tables.map(({ path }) => path).join(', ')
      const publication = this.#escaped(this.#publication)
      await this.#session.query(
        `CREATE PUBLICATION ${publication} FOR TABLE ${names} WITH (${publicationWays(facts)});
        COMMENT ON PUBLICATION ${publication} IS '${auditMark}'`,
      )
      this.#logger.info(
        {},
        'the replication slot is there when the transactions that are open now have ended',
      )
      const [slot] = await this.#session.query<{ name: string }>(
        `SELECT slot_name AS name FROM pg_create_logical_replication_slot($1 || '_' || pg_backend_pid(), 'pgoutput', true)`,
        [this.#publication],
      )
      this.#slot = slot!.name
      this.#decode = await decoding(
        this.#publication,
        new LogDecoder(new Map(tables.map(({ oid, watched }) => [oid, watched]))),
      )
    } catch (error) {
      throw described(error)
    }
  }

  async read(): Promise<ShadowRead> {
    if (performance.now() < this.#notBefore) {
      return { changes: [], completeMs: this.#completeMs, hasMore: false }
    }
    if (!this.#isFetching) await this.#look()
    const fetchedAt = performance.now()
    const rows = await this.#session.query<{ data: Buffer }>(`FETCH ${rowsPerFetch} FROM redstream_audit`)
    // With the first piece, the server reads the log.
    this.#tookMs ??= performance.now() - fetchedAt
    const hasMore = rows.length === rowsPerFetch
    if (!hasMore) await this.#finishLook(this.#tookMs)
    return { changes: rows.flatMap(({ data }) => this.#decode!(data)), completeMs: this.#completeMs, hasMore }
  }

  async close(): Promise<void> {
    if (this.#isFetching) await this.#session.query('ROLLBACK')
    this.#isFetching = false
    if (this.#slot !== '') await this.#session.query('SELECT pg_drop_replication_slot($1)', [this.#slot])
    this.#slot = ''
    await removeLogShadow(this.#dataSource, this.#session, this.#publication)
  }

  /** Begins a look at what is new in the log. It is fetched in pieces: a transaction may have millions of rows. */
  async #look(): Promise<void> {
    this.#lookedMs = await this.#session.nowMs()
    this.#tookMs = undefined
    await this.#session.query('BEGIN')
    this.#isFetching = true
    await this.#session.query(
      `DECLARE redstream_audit NO SCROLL CURSOR FOR SELECT data FROM pg_logical_slot_get_binary_changes(` +
        // Such a statement takes no parameters; the pattern of captureSchema allows nothing that needs quoting.
        `'${this.#slot}', NULL, NULL, 'proto_version', '1', 'publication_names', '${this.#publication}')`,
    )
  }

  async #finishLook(tookMs: number): Promise<void> {
    await this.#session.query('COMMIT')
    this.#isFetching = false
    this.#completeMs = this.#lookedMs - asynchronousCommitMs
    this.#notBefore = performance.now() + Math.max(leastPauseMs, tookMs / shareOfTime)
  }

  /**
   * The tables as the database has them.
   *
   * @throws RedstreamError DATABASE when the log does not name their rows, or PostgreSQL would refuse the application's
   *   writes as long as they are published
   */
  async #tablesInDatabase(): Promise<TableInDatabase[]> {
    const found = await tablesInDatabase(this.#dataSource, this.#tables)
    for (const { metadata } of this.#tables)
      if (!found.some(({ watched }) => watched.metadata === metadata))
        throw new RedstreamError('DATABASE', `the table ${metadata.tablePath} does not exist`)
    for (const { watched, parts } of found) {
      for (const part of parts) {
        const problem = partProblem(part)
        if (problem !== undefined)
          throw new RedstreamError('DATABASE', `${part.path} ${problem}; or audit against "trigger"`)
        // Of former values it only needs the key.
        if (missingIdentity({ ...watched, former: [] }, part).length > 0) throw withoutIdentity(part.path)
      }
    }
    return found
  }

  #escaped(name: string): string {
    return this.#dataSource.driver.escape(name)
  }
}

/** Removes the publication; also that of an audit that was killed. */
export async function removeLogShadow(
  { driver }: DataSource,
  session: AuditSession,
  auditSchema: string,
): Promise<boolean> {
  const [found] = await session.query<{ exists: boolean }>(
    `SELECT EXISTS (
      SELECT FROM pg_publication WHERE pubname = $1 AND obj_description(oid, 'pg_publication') = $2
    ) AS exists`,
    [auditSchema, auditMark],
  )
  if (found?.exists) await session.query(`DROP PUBLICATION ${driver.escape(auditSchema)}`)
  return found?.exists === true
}

async function decoding(publication: string, decoder: LogDecoder): Promise<(data: Buffer) => ShadowChange[]> {
  const { PgoutputPlugin } = await import('pg-logical-replication')
  const plugin = new PgoutputPlugin({ protoVersion: 1, publicationNames: [publication] })
  return (data) => decoder.decode(plugin.parse(data))
}

// In a publication, PostgreSQL would refuse the application's updates and deletes of such a table.
function withoutIdentity(path: string): RedstreamError {
  return new RedstreamError(
    'DATABASE',
    `the log does not tell which rows of ${path} are updated or deleted: its REPLICA IDENTITY is not the primary key; ` +
      `ALTER TABLE ${path} REPLICA IDENTITY DEFAULT (or FULL), or audit against "trigger"`,
  )
}

/** What the server refuses, with the cure. Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html */
function described(error: unknown): unknown {
  const cure = cures[sqlStateOf(error) ?? '']
  if (!(error instanceof Error) || cure === undefined) return error
  return new RedstreamError('DATABASE', `${error.message}; ${cure}, or audit against "trigger"`, {
    cause: error,
  })
}

const cures: Readonly<Record<string, string>> = {
  '55000': 'set wal_level = logical in postgresql.conf and restart PostgreSQL',
  '53400':
    'raise max_replication_slots and restart PostgreSQL, or drop a slot that nobody needs (pg_replication_slots)',
  '42501':
    'the role must own the tables, may CREATE in the database, and have the attribute REPLICATION (ALTER ROLE … REPLICATION)',
}
