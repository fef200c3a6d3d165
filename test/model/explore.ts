import { copyOf } from './copy.ts'
import { keyOf } from './key.ts'
import { problemsOf, stepsOf } from './model.ts'
import type { Scenario } from './scenario.ts'
import { startOf, type World } from './world.ts'

/** What the exhaustive search of a scenario says. */
export interface Exploration {
  readonly states: number
  /** Shortest way to a world where nothing is left to do and a promise is broken. */
  readonly counterexample: Counterexample | undefined
  /** Shortest way to a world from which, even without further faults, no good end can be reached. */
  readonly deadEnd: Counterexample | undefined
}

export interface Counterexample {
  readonly steps: readonly string[]
  readonly problems: readonly string[]
}

interface Visited {
  readonly from: number
  readonly label: string
}

/** Visits every world that can be reached, nearest first, and stops at the first that breaks a promise. */
export function explore(scenario: Scenario, limit = 2_000_000): Exploration {
  const start = startOf(scenario)
  const numbers = new Map<string, number>([[keyOf(start, scenario), 0]])
  const visited: Visited[] = [{ from: -1, label: '' }]
  const before: number[][] = [[]]
  const good: number[] = []
  let frontier: [number, World][] = [[0, start]]
  while (frontier.length > 0) {
    const next: [number, World][] = []
    for (const [number, world] of frontier) {
      const steps = stepsOf(world, scenario)
      if (steps.every(({ kind }) => kind !== 'work')) {
        const problems = problemsOf(world, scenario)
        if (problems.length > 0) {
          const counterexample = { steps: wayTo(visited, number), problems }
          return { states: visited.length, counterexample, deadEnd: undefined }
        }
        good.push(number)
      }
      for (const step of steps) {
        const after = copyOf(world)
        step.run(after)
        const key = keyOf(after, scenario)
        let known = numbers.get(key)
        if (known === undefined) {
          known = visited.length
          if (known >= limit) throw new Error(`more than ${limit} states: make the scenario smaller`)
          numbers.set(key, known)
          visited.push({ from: number, label: step.label })
          before.push([])
          next.push([known, after])
        }
        if (step.kind === 'work') before[known]!.push(number)
      }
    }
    frontier = next
  }
  return { states: visited.length, counterexample: undefined, deadEnd: findDeadEnd(visited, before, good) }
}

function findDeadEnd(
  visited: readonly Visited[],
  before: readonly (readonly number[])[],
  good: readonly number[],
): Counterexample | undefined {
  const reaches = new Uint8Array(visited.length)
  const stack = [...good]
  for (const number of stack) reaches[number] = 1
  while (stack.length > 0) {
    for (const number of before[stack.pop()!]!) {
      if (reaches[number] === 1) continue
      reaches[number] = 1
      stack.push(number)
    }
  }
  const stuck = reaches.indexOf(0)
  return stuck === -1
    ? undefined
    : { steps: wayTo(visited, stuck), problems: ['no good end can be reached from here'] }
}

function wayTo(visited: readonly Visited[], number: number): string[] {
  const steps: string[] = []
  for (let at = number; visited[at]!.from !== -1; at = visited[at]!.from) steps.push(visited[at]!.label)
  return steps.reverse()
}
