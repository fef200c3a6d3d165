import { RedstreamError } from '../errors.ts'
import { sqlStateOf } from '../sql-state.ts'

/** What the server must be and have for the mode `wal`. */
export interface ServerFacts {
  /** `server_version_num`: 180004 for 18.4. */
  readonly version: number
  readonly isReplica: boolean
  readonly walLevel: string
  readonly user: string
}

/** Why a server's log cannot be followed, with the cure; undefined when it can. */
export function serverProblem({ version, isReplica, walLevel }: ServerFacts): string | undefined {
  if (version < 140_000)
    return `PostgreSQL ${Math.floor(version / 10_000)} cannot stream transactions before their commit: 14 or newer is needed`
  if (isReplica)
    return (
      'the DataSource leads to a read replica, and the log is followed on the primary: give it the address of the ' +
      'primary (with `replication`, as its master)'
    )
  if (walLevel !== 'logical')
    return (
      `wal_level is "${walLevel}" and must be "logical": ALTER SYSTEM SET wal_level = logical, then restart PostgreSQL ` +
      '(RDS: rds.logical_replication = 1, Cloud SQL: cloudsql.logical_decoding = on)'
    )
  return undefined
}

/** Somebody reads from the slot: another follower, as a rule. */
export const objectInUse = '55006'

/** What is being done when PostgreSQL refuses it. */
export type LogTask = 'connect' | 'slot' | 'publication'

const cures: Readonly<Record<string, string | Partial<Record<LogTask, string>>>> = {
  '53400':
    'every replication slot of the server is taken: remove one that nobody uses (pg_replication_slots, pg_drop_replication_slot) or raise max_replication_slots, which needs a restart',
  '53300':
    'there are too many connections: raise max_wal_senders (each follower that reads takes one) or max_connections, which needs a restart',
  '42501': {
    connect:
      'the user may not replicate: ALTER ROLE … REPLICATION (RDS: GRANT rds_replication TO …), or give the follower a DataSource with a user who may',
    slot: 'the user may not use replication slots: ALTER ROLE … REPLICATION (RDS: GRANT rds_replication TO …)',
    publication:
      'the user must own the tables and the publication, and may need CREATE on the database: run `redstream init` as the owner of the tables',
  },
  '08P01':
    'what answers is no PostgreSQL but a pooler, which passes no replication connections: give the follower a DataSource that leads to the server itself',
  '42704':
    'the publication, or the slot, is not there, or the publication is younger than the slot: run `redstream init`; if that does not help, drop the slot (pg_drop_replication_slot), and the follower makes another',
  '55000':
    'the server has removed log that the slot needs, or wal_level is not logical: see wal_status in pg_replication_slots and max_slot_wal_keep_size',
  '28000': 'pg_hba.conf lets this user in from here for no replication: see its lines for the database',
  '0A000': 'this server has no logical replication',
}

/** An error of PostgreSQL with what to do about it. */
export function describeLogError(error: unknown, task: LogTask, subject: string): RedstreamError {
  if (error instanceof RedstreamError) return error
  const reason = error instanceof Error ? error.message : String(error)
  const cure = cures[sqlStateOf(error) ?? '']
  const text = typeof cure === 'object' ? cure[task] : cure
  return new RedstreamError('DATABASE', `${subject}: ${reason}${text === undefined ? '' : `; ${text}`}`, {
    cause: error,
  })
}

/** Who reads from a slot. */
export interface SlotReader {
  readonly pid: number
  readonly application: string | null
  readonly user: string | null
  readonly address: string | null
}

/** A slot's reader in words. */
export function describeReader({ pid, application, user, address }: SlotReader): string {
  const who = [application || undefined, user === null ? undefined : `user ${user}`, address ?? undefined]
  return `process ${pid} of the server (${who.filter((part) => part !== undefined).join(', ')})`
}
