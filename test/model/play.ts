import { problemsOf, stepsOf } from './model.ts'
import type { Scenario } from './scenario.ts'
import type { Step } from './step.ts'
import { startOf } from './world.ts'

/** One run of a scenario until nothing is left to do. */
export interface Play {
  readonly steps: readonly string[]
  readonly problems: readonly string[]
}

const longest = 5_000
/** Steps that are shown of a run without an end. */
const shown = 200

/**
 * Plays a scenario: each choice decides what comes next, and when they are used up, everybody goes on in turn without
 * further faults until nothing is left to do. Choices of 0 are the most ordinary, so that a shrunk run is plain.
 */
export function play(scenario: Scenario, choices: readonly number[]): Play {
  const world = startOf(scenario)
  const taken: string[] = []
  const take = (step: Step): void => {
    taken.push(step.label)
    step.run(world)
  }
  for (const choice of choices) {
    const step = chosen(stepsOf(world, scenario), scenario.slow, choice)
    if (step !== undefined) take(step)
  }
  for (let turn = 0; turn < longest; turn++) {
    const steps = stepsOf(world, scenario)
    const work = steps.filter(({ kind }) => kind === 'work')
    if (work.length === 0) return { steps: taken, problems: problemsOf(world, scenario) }
    // Time passes whether anybody waits for it or not.
    const drifting = turn % 64 === 63 ? steps.filter(({ kind }) => kind === 'drift') : []
    take((drifting.length > 0 ? drifting : work)[turn % (drifting.length || work.length)]!)
  }
  return {
    steps: taken.slice(0, shown),
    problems: [`there was still something to do after ${longest} steps`],
  }
}

/** One choice in eight is a fault, or something else that need not happen; one in sixteen is for those who are slow. */
function chosen(steps: readonly Step[], slow: readonly string[], choice: number): Step | undefined {
  const isUnusual = choice % 8 === 7
  const pick = (from: readonly Step[]): Step | undefined => from[(choice >> 3) % from.length]
  if (isUnusual) return pick(steps.filter(({ kind }) => kind !== 'work'))
  const work = steps.filter(({ kind }) => kind === 'work')
  if (slow.length === 0 || choice % 16 === 14) return pick(work)
  const quick = work.filter(({ label }) => !slow.some((name) => label.startsWith(name)))
  return pick(quick.length > 0 ? quick : work)
}
