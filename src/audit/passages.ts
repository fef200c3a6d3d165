import type { DataSource } from 'typeorm'

import type { CaptureMode } from '../capture/modes.ts'
import type { OutboxTable } from '../outbox/outbox-table.ts'
import { logNames } from '../wal/names.ts'
import type { Passage } from './on-the-way.ts'
import type { AuditSession } from './session.ts'

/** The ways that messages of the audited sources take before the streams. What TypeORM tells needs none. */
export function passagesOf(
  modes: Iterable<CaptureMode>,
  session: AuditSession,
  outbox: OutboxTable,
  captureSchema: string,
): Passage[] {
  return [...new Set(modes)].flatMap((mode): Passage[] => {
    if (mode === 'subscriber') return []
    return [
      mode === 'wal'
        ? throughTheLog(session, outbox.dataSource, captureSchema)
        : throughTheOutbox(mode, session, outbox),
    ]
  })
}

function throughTheOutbox(mode: CaptureMode, session: AuditSession, { quoted }: OutboxTable): Passage {
  return {
    mode,
    // An entry is written, by the database's clock, when its transaction begins, and so before it is committed.
    isPassed: async (beforeMs) => {
      const [found] = await session.query<{ passed: boolean }>(
        `SELECT NOT EXISTS (
          SELECT FROM ${quoted} WHERE problem IS NULL AND written_at < to_timestamp($1::float8 / 1000)
        ) AS passed`,
        [beforeMs],
      )
      return found?.passed === true
    },
  }
}

/** The Follower confirms to its slot what it has published. */
function throughTheLog(session: AuditSession, { driver }: DataSource, captureSchema: string): Passage {
  const { slot } = logNames(captureSchema, driver.database ?? '')
  /** Ends of the log, and when they were looked at: whatever was committed before is before them. */
  const marks: { readonly atMs: number; readonly lsn: string }[] = []
  return {
    mode: 'wal',
    isPassed: async (beforeMs) => {
      const atMs = await session.nowMs()
      const [end] = await session.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn')
      marks.push({ atMs, lsn: end!.lsn })
      while (marks[0]!.atMs < beforeMs) marks.shift()
      const [found] = await session.query<{ passed: boolean }>(
        'SELECT confirmed_flush_lsn >= $2::pg_lsn AS passed FROM pg_replication_slots WHERE slot_name = $1',
        [slot, marks[0]!.lsn],
      )
      return found?.passed === true
    },
  }
}
