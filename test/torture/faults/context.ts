import { setTimeout as sleep } from 'node:timers/promises'

import type { Crew } from '../processes/crew.ts'
import type { Random } from '../random.ts'
import type { Stage } from '../stage.ts'

/** What was done, by name. */
export type Tally = Record<string, number>

/** What an actor that makes faults may use. */
export interface FaultContext {
  readonly stage: Stage
  readonly crew: Crew
  readonly random: Random
  /** Aborts when the faults shall end; each actor then puts right what it has done. */
  readonly signal: AbortSignal
  readonly count: (what: string) => void
}

/** Waits between two faults; true while they go on. */
export async function wait({ random, signal }: FaultContext, fromMs: number, toMs: number): Promise<boolean> {
  await sleep(random.between(fromMs, toMs), undefined, { signal }).catch(() => undefined)
  return !signal.aborted
}
