import type { DataSource } from 'typeorm'
import { z } from 'zod'

import { RedstreamError } from '../errors.ts'
import { pause } from '../runtime/backoff.ts'
import { sqlStateOf } from '../sql-state.ts'
import { parseLsn, type Lsn } from './lsn.ts'
import {
  describeLogError,
  objectInUse,
  serverProblem,
  type ServerFacts,
  type SlotReader,
} from './refusals.ts'

/** A replication slot as the server has it. */
export interface Slot {
  readonly plugin: string | null
  readonly database: string | null
  /** `reserved`, `extended`, `unreserved` or `lost`: https://www.postgresql.org/docs/current/view-pg-replication-slots.html */
  readonly walStatus: string | null
  readonly confirmed: Lsn
  /** Bytes of log that the server keeps for it. */
  readonly keptBytes: number
  readonly reader: SlotReader | undefined
}

/** The slot, and where the server is. */
export interface SlotLook {
  /** Where the log ends at this moment. */
  readonly current: Lsn
  /** Undefined: there is none. */
  readonly slot: Slot | undefined
}

const lookSchema = z.object({
  current: z.string(),
  name: z.string().nullable(),
  plugin: z.string().nullable(),
  database: z.string().nullable(),
  walStatus: z.string().nullable(),
  confirmed: z.string().nullable(),
  kept: z.coerce.number().nullable(),
  pid: z.number().nullable(),
  application: z.string().nullable(),
  user: z.string().nullable(),
  address: z.string().nullable(),
})

const lookSql = `
SELECT w.lsn::text AS current, s.slot_name AS name, s.plugin, s.database, s.wal_status AS "walStatus",
  s.confirmed_flush_lsn::text AS confirmed, (w.lsn - s.restart_lsn)::text AS kept, s.active_pid AS pid,
  a.application_name AS application, a.usename AS user, host(a.client_addr) AS address
FROM (SELECT pg_current_wal_lsn() AS lsn) w
LEFT JOIN pg_replication_slots s ON s.slot_name = $1
LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid`

/** Looks at a slot. */
export async function lookAtSlot(dataSource: DataSource, name: string): Promise<SlotLook> {
  const [row] = z.array(lookSchema).parse(await dataSource.query(lookSql, [name]))
  const { current, plugin, database, walStatus, confirmed, kept, pid, application, user, address } = row!
  const slot =
    row!.name === null
      ? undefined
      : {
          plugin,
          database,
          walStatus,
          confirmed: parseLsn(confirmed ?? '0/0'),
          keptBytes: kept ?? 0,
          reader: pid === null ? undefined : { pid, application, user, address },
        }
  return { current: parseLsn(current), slot }
}

const factsSql = `
SELECT current_setting('server_version_num')::int AS version, pg_is_in_recovery() AS "isReplica",
  current_setting('wal_level') AS "walLevel", current_user AS user`

/**
 * What the server is.
 *
 * @param what - for which its log is followed, for the error
 * @throws RedstreamError DATABASE when its log cannot be followed, with the cure
 */
export async function checkServer(dataSource: DataSource, what = 'capture "wal"'): Promise<ServerFacts> {
  const [facts] = await dataSource.query<ServerFacts[]>(factsSql)
  const problem = serverProblem(facts!)
  if (problem !== undefined) throw new RedstreamError('DATABASE', `${what}: ${problem}`)
  return facts!
}

/** The statement that makes a slot; from PostgreSQL 17 on one that its standbys keep too. */
export function createSlotSql(name: string, { version }: Pick<ServerFacts, 'version'>): string {
  const failover = version >= 170_000 ? ', failover => true' : ''
  return `SELECT pg_create_logical_replication_slot('${name}', 'pgoutput'${failover})`
}

/**
 * Makes a slot. It waits for the transactions that are open, whose changes it will tell in part otherwise; that may be for
 * hours, and is given up when `signal` aborts.
 *
 * @throws RedstreamError DATABASE with the cure
 */
export async function createSlot(
  dataSource: DataSource,
  name: string,
  facts: ServerFacts,
  signal?: AbortSignal,
): Promise<void> {
  const queryRunner = dataSource.createQueryRunner('master')
  let giveUp = (): void => undefined
  try {
    const [backend] = (await queryRunner.query('SELECT pg_backend_pid() AS pid')) as { pid: number }[]
    giveUp = () =>
      void dataSource.query('SELECT pg_cancel_backend($1)', [backend!.pid]).catch(() => undefined)
    signal?.throwIfAborted()
    signal?.addEventListener('abort', giveUp)
    await queryRunner.query(createSlotSql(name, facts))
  } catch (error) {
    throw describeLogError(error, 'slot', `the replication slot "${name}" cannot be made`)
  } finally {
    signal?.removeEventListener('abort', giveUp)
    await queryRunner.release()
  }
}

export function dropSlotSql(name: string): string {
  return `SELECT pg_drop_replication_slot('${name}')`
}

const noSuchObject = '42704'
const attempts = 100
const betweenAttemptsMs = 50

/** Removes a slot, whoever reads from it: the reader is ended, again when it has come back meanwhile. */
export async function dropSlot(dataSource: DataSource, name: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await dataSource.query(
        'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL',
        [name],
      )
      await dataSource.query(dropSlotSql(name))
      return
    } catch (error) {
      const state = sqlStateOf(error)
      if (state === noSuchObject) return
      if (state !== objectInUse || attempt === attempts)
        throw describeLogError(error, 'slot', `the replication slot "${name}" cannot be dropped`)
      await pause(betweenAttemptsMs)
    }
  }
}
