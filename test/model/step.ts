import type { Fault, Scenario } from './scenario.ts'
import type { Batch, Member, World } from './world.ts'

/** Something that can happen next. */
export interface Step {
  /** Who does what, for people. */
  readonly label: string
  /**
   * `work`: it will happen some time, unless something else makes it needless. `fault`: it may never happen, and is
   * counted. `drift`: it may never happen, and is free: time that passes, a tombstone that is collected.
   */
  readonly kind: 'work' | 'fault' | 'drift'
  run(world: World): void
}

export function work(label: string, run: (world: World) => void): Step {
  return { label, kind: 'work', run }
}

export function drift(label: string, run: (world: World) => void): Step {
  return { label, kind: 'drift', run }
}

/** The step of a fault, if it belongs to the scenario and the budget lasts. */
export function fault(
  world: World,
  scenario: Scenario,
  name: Fault,
  label: string,
  run: (world: World) => void,
): Step[] {
  if (world.faultsLeft === 0 || !scenario.faults.includes(name)) return []
  const counted = (next: World): void => {
    next.faultsLeft--
    run(next)
  }
  return [{ label: `FAULT: ${label}`, kind: 'fault', run: counted }]
}

/** Makes a step of one batch: what its member does. */
export type BatchStep = (does: string, run: (world: World, batch: Batch, member: Member) => void) => Step
