import type { DatabasePart } from '../capture/database-objects.ts'
import type { RowChange } from '../capture/changes.ts'
import type { OutboxEntry } from '../outbox/entry.ts'
import type { OutboxTable } from '../outbox/outbox-table.ts'
import { auditMark, lockOf, type AuditSession } from './session.ts'
import type { Shadow, ShadowChange, ShadowRead } from './shadow.ts'

/** Each holds up to some hundred rows. */
const entriesPerRead = 50

export interface TriggerShadowOptions {
  readonly session: AuditSession
  /** An outbox of the audit's own. */
  readonly outbox: OutboxTable
  /** The outbox's table, and the triggers that fill it. */
  readonly parts: readonly DatabasePart[]
  /** What the triggers wrote about rows. */
  readonly changesOf: (entry: Pick<OutboxEntry, 'source' | 'body'>) => readonly RowChange[]
  /** The lock that the session holds. */
  readonly lock: string
}

/** An entry as it is read. */
interface Taken extends Pick<OutboxEntry, 'source' | 'body'> {
  readonly writtenMs: number
}

/**
 * Triggers of PostgreSQL as the shadow. They fill an outbox of the audit's own, in a schema of its own; what is read there
 * is deleted.
 *
 * Owns, in the database: that schema with its table and functions, and the triggers. When the process dies, the outbox
 * takes nothing more, because the lock of its session is free: what is left behind costs statements a little time, but
 * does not grow, until {@link removeTriggerShadow}.
 */
export class TriggerShadow implements Shadow {
  readonly #options: TriggerShadowOptions
  #completeMs = -Infinity
  #longestGapMs = 0

  constructor(options: TriggerShadowOptions) {
    this.#options = options
  }

  get resolutionMs(): number {
    return this.#longestGapMs
  }

  async open(): Promise<void> {
    const { session, outbox, parts, lock } = this.#options
    const [table, ...triggers] = parts
    const schema = escapedSchema(outbox)
    // In one piece, so that none is left without its mark.
    await session.query(`CREATE SCHEMA ${schema}; COMMENT ON SCHEMA ${schema} IS '${auditMark}'`)
    await table?.apply()
    for (const sql of guard(outbox, lock)) await session.query(sql)
    for (const part of triggers) await part.apply()
    this.#completeMs = await session.nowMs()
  }

  async read(): Promise<ShadowRead> {
    const { session, outbox, changesOf } = this.#options
    const lookedMs = await session.nowMs()
    const entries = await session.query<Taken>(
      `WITH taken AS (
        DELETE FROM ${outbox.quoted} WHERE id IN (SELECT id FROM ${outbox.quoted} ORDER BY id LIMIT ${entriesPerRead})
        RETURNING source, body, written_at
      )
      SELECT source, body, extract(epoch FROM written_at)::float8 * 1000 AS "writtenMs" FROM taken`,
    )
    // Not seen when everything was seen before, so not committed then; nor before its transaction began.
    const changes = entries.flatMap((entry) =>
      changesOf(entry).map((row) => shadowChange(row, Math.max(this.#completeMs, entry.writtenMs))),
    )
    const hasMore = entries.length === entriesPerRead
    if (!hasMore) {
      this.#longestGapMs = Math.max(this.#longestGapMs, lookedMs - this.#completeMs)
      this.#completeMs = lookedMs
    }
    return { changes, completeMs: this.#completeMs, hasMore }
  }

  async close(): Promise<void> {
    await removeTriggerShadow(this.#options)
  }
}

/** Removes the triggers, and the schema with what is in it; of an audit that was killed, too. */
export async function removeTriggerShadow({
  session,
  outbox,
  parts,
}: Pick<TriggerShadowOptions, 'session' | 'outbox' | 'parts'>): Promise<boolean> {
  const [found] = await session.query<{ exists: boolean }>(
    `SELECT EXISTS (
      SELECT FROM pg_namespace WHERE nspname = $1 AND obj_description(oid, 'pg_namespace') = $2
    ) AS exists`,
    [outbox.schema, auditMark],
  )
  if (!found?.exists) return false
  const [, ...triggers] = parts
  for (const part of triggers) await part.remove('everything')
  await session.query(`DROP SCHEMA ${escapedSchema(outbox)} CASCADE`)
  return true
}

function shadowChange(row: RowChange, committedMs: number): ShadowChange {
  const kind = row.kind === 'insert' || row.kind === 'delete' ? row.kind : 'update'
  return { row, metadata: row.metadata, kind, isCertain: true, committedMs }
}

/** The outbox takes what triggers write only while the session of an audit holds its lock. */
function guard(outbox: OutboxTable, lock: string): string[] {
  const name = `${escapedSchema(outbox)}.while_audited`
  return [
    `CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF pg_try_advisory_xact_lock_shared(${lockOf(`'${lock}'`)}) THEN RETURN NULL; END IF;
        RETURN NEW;
      END
    $$`,
    `CREATE TRIGGER while_audited BEFORE INSERT ON ${outbox.quoted} FOR EACH ROW EXECUTE FUNCTION ${name}()`,
  ]
}

function escapedSchema({ dataSource, schema }: OutboxTable): string {
  return dataSource.driver.escape(schema!)
}
