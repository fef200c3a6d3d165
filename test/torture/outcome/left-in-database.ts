import type { Pool } from 'pg'

import type { CaptureMode } from '../../../src/capture/modes.ts'
import type { Left } from './drained.ts'

/** A moment, for what was committed before it. */
export interface Moment {
  /** By the clock of the database. */
  readonly at: Date
  /** The end of the log. */
  readonly lsn: string
}

/** What the streams have not been told of yet, of what was committed before a moment: rows of the outbox, or a part of the log. */
export async function leftInDatabase(
  database: Pool,
  capture: CaptureMode,
  captureSchema: string,
  before: Moment,
): Promise<Left> {
  if (capture === 'outbox' || capture === 'trigger') {
    const { rows } = await database.query<{ entries: string }>(
      `SELECT count(*) AS entries FROM ${captureSchema}.outbox WHERE written_at <= $1`,
      [before.at],
    )
    const entries = Number(rows[0]?.entries)
    return entries > 0 ? { [`${captureSchema}.outbox`]: `${entries} rows` } : {}
  }
  if (capture === 'subscriber') return {}
  const { rows } = await database.query<{ slot: string; behind: string | null }>(
    `SELECT slot_name AS slot, pg_wal_lsn_diff($2, confirmed_flush_lsn) AS behind
     FROM pg_replication_slots WHERE starts_with(slot_name, $1)`,
    [captureSchema, before.lsn],
  )
  if (rows.length === 0) return { [captureSchema]: 'there is no replication slot' }
  return Object.fromEntries(
    rows.flatMap(({ slot, behind }) =>
      behind === null || Number(behind) > 0 ? [[slot, `${behind} bytes of the log`]] : [],
    ),
  )
}

export async function thisMoment(database: Pool): Promise<Moment> {
  const { rows } = await database.query<Moment>('SELECT clock_timestamp() AS at, pg_current_wal_lsn() AS lsn')
  return rows[0]!
}
