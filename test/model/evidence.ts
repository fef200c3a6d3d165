import { expect } from 'vitest'

import type { Counterexample, Exploration } from './explore.ts'
import type { Search } from './search.ts'

/** Times the usual number of random runs: `MODEL_RUNS=100` looks a hundred times as long. */
const effort = Number(process.env['MODEL_RUNS'] ?? 1)
/** The same seed gives the same runs. */
export const seed = Number(process.env['MODEL_SEED'] ?? 20_261_122)

export function runsFor(usual: number): number {
  return Math.ceil(usual * effort)
}

/** Every run, or every world that can be reached, keeps the promises. */
export function expectKept(name: string, evidence: Exploration | Search): void {
  const broken = evidence.counterexample ?? ('deadEnd' in evidence ? evidence.deadEnd : undefined)
  if (broken !== undefined) expect.fail(`${name}: broken.\n${storyOf(broken, evidence)}`)
  console.info(`${name}: kept in ${amountOf(evidence)}`)
}

/** The sabotage is found. `MODEL_TRACES=1` prints how. */
export function expectBroken(name: string, evidence: Exploration | Search, problem: RegExp): void {
  const { counterexample } = evidence
  if (counterexample === undefined) expect.fail(`${name}: not found in ${amountOf(evidence)}`)
  expect(counterexample.problems.join('; '), storyOf(counterexample, evidence)).toMatch(problem)
  const { steps } = counterexample
  console.info(`${name}: found after ${amountOf(evidence)}, in ${steps.length} steps`)
  if (process.env['MODEL_TRACES'] === '1') console.info(storyOf(counterexample, evidence))
}

function amountOf(evidence: Exploration | Search): string {
  if ('states' in evidence) return `${evidence.states} states, all that there are up to there`
  return `${evidence.runs} random runs with ${evidence.steps} steps, seed ${evidence.seed}`
}

/** A counterexample, one step a line. */
function storyOf(counterexample: Counterexample, evidence: Exploration | Search): string {
  const width = String(counterexample.steps.length).length
  const steps = counterexample.steps.map((step, i) => `  ${String(i + 1).padStart(width)}  ${step}`)
  const scenario =
    'runs' in evidence ? `\nscenario: ${JSON.stringify(evidence.counterexample?.scenario)}` : ''
  return `${steps.join('\n')}\n  => ${counterexample.problems.join('; ')}${scenario}`
}
