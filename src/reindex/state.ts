import { z } from 'zod'

import { isSettled, phases, type Phase } from './phases.ts'

/** What Redis holds of a reindex. Times are ms since 1970 by Redis' clock. */
export interface ReindexState {
  readonly id: string
  readonly phase: Phase
  /** The alias that applications search. */
  readonly name: string
  /** The index that is to be replaced. */
  readonly from: string
  /** The index that replaces it. */
  readonly to: string
  /** Fingerprint of what `to` is declared to be: only processes with the same declaration work on it. */
  readonly definition: string
  /** How long `from` is kept after the swap. */
  readonly keepOldMs: number
  /** Most rows a second, all copying processes together; 0: as many as go. */
  readonly rate: number
  readonly startedAt: number
  /** How many slices there are, and about how many rows, once that is known. */
  readonly slices: number
  readonly rows: number
  /** When the copy began. */
  readonly copyingAt?: number | undefined
  /** When the alias was swapped. */
  readonly swappedAt?: number | undefined
  /** Documents in the new index right before the swap. */
  readonly documents: number
  /** Nothing is done in this phase before. */
  readonly notBefore?: number | undefined
  /** Why it is undone, or is to be. */
  readonly problem?: string | undefined
  /** Redis lost the list of targets: another copy is to be made when this one is over. */
  readonly again: boolean
  /** Copies made because of that, this one included. */
  readonly attempt: number
}

const stateSchema = z.object({
  id: z.string(),
  phase: z.enum(Object.keys(phases) as [Phase, ...Phase[]]),
  name: z.string(),
  from: z.string(),
  to: z.string(),
  definition: z.string(),
  keepOldMs: z.number(),
  rate: z.number(),
  startedAt: z.number(),
  slices: z.number(),
  rows: z.number(),
  copyingAt: z.number().optional(),
  swappedAt: z.number().optional(),
  documents: z.number(),
  notBefore: z.number().optional(),
  problem: z.string().optional(),
  again: z.boolean(),
  attempt: z.number(),
})

export function parseState(json: string): ReindexState {
  return stateSchema.parse(JSON.parse(json))
}

/** Who drives a reindex: one process at a time. */
export interface Driver {
  readonly member: string
  readonly host: string
  readonly pid: number
  /** Since when, ms since 1970. */
  readonly since: number
}

const driverSchema = z.object({ member: z.string(), host: z.string(), pid: z.number(), since: z.number() })

export function parseDriver(json: string): Driver {
  return driverSchema.parse(JSON.parse(json))
}

/**
 * The member of the lists of targets that stands for a reindex and is no index (Elasticsearch allows no colon in a
 * name). It is written together with the new index and lost together with it; who learns the targets anew does not
 * write it. So a list that has it has been complete since then.
 */
export function markerOf(id: string): string {
  return `reindex:${id}`
}

/** Whether the next phase may be done now. */
export function isDue({ notBefore }: ReindexState, now: number): boolean {
  return notBefore === undefined || notBefore <= now
}

/** Somebody waits for it to be done. */
export function isUnderWay(state: ReindexState): boolean {
  return state.again || !isSettled(state.phase)
}
