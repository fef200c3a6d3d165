import { RedstreamError } from '../errors.ts'
import { checkTables } from './check-tables.ts'
import type { Notes } from './log-notes.ts'
import { describeLogError } from './refusals.ts'
import type { LogSite } from './site.ts'
import { checkServer, lookAtSlot, type SlotLook } from './slot.ts'
import { lagMs } from './slot-verdict.ts'

/** The log of the database, and who reads it. */
export interface LogStatus {
  /** The replication slot. */
  slot: string
  /**
   * `read`: a follower reads it. `waits`: nobody does, and the server keeps the log. `missing`: there is none. `lost`: the
   * server has removed what it needs. `unknown`: the database does not answer.
   */
  state: 'read' | 'waits' | 'missing' | 'lost' | 'unknown'
  /** Bytes of log that the server keeps for it; null: not known. */
  keptBytes: number | null
  /** How far its reader is behind, to some 5 s; null: not known. */
  lagMs: number | null
  /** Why it cannot be followed, or will not tell everything. */
  problem?: string
  /** Indices that miss changes until `redstream verify NAME --repair` is done. */
  verify: { index: string; reason: string; since: string }[]
}

/** Looks at the slot and at what is noted of it. Rejects only when Redis does not answer. */
export async function logStatus(site: LogSite): Promise<LogStatus> {
  const { names, notes } = site
  const [noted, now] = await Promise.all([notes.read(), notes.now()])
  const verify = Array.from(noted.verify, ([index, { reason, at }]) => ({
    index,
    reason,
    since: new Date(at).toISOString(),
  }))
  const common = { slot: names.slot, verify }
  try {
    await checkServer(site.dataSource)
    const look = await lookAtSlot(site.dataSource, names.slot)
    const problem = await checkTables(site).then(
      () => undefined,
      (error: unknown) => (error instanceof RedstreamError ? error.message : String(error)),
    )
    return { ...common, ...described(look, noted, now), ...(problem === undefined ? {} : { problem }) }
  } catch (error) {
    const { message } = describeLogError(error, 'slot', 'the slot cannot be looked at')
    return { ...common, state: 'unknown', keptBytes: null, lagMs: null, problem: message }
  }
}

function described(
  look: SlotLook,
  { mark }: Notes,
  now: number,
): Pick<LogStatus, 'state' | 'keptBytes' | 'lagMs'> {
  const { slot } = look
  if (slot === undefined) return { state: 'missing', keptBytes: null, lagMs: null }
  const state = slot.walStatus === 'lost' ? 'lost' : slot.reader === undefined ? 'waits' : 'read'
  return { state, keptBytes: slot.keptBytes, lagMs: lagMs(mark, look, now) }
}
