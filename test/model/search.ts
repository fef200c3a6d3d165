import * as fc from 'fast-check'

import { play, type Play } from './play.ts'
import type { Scenario } from './scenario.ts'

/** What random runs of scenarios say. */
export interface Search {
  readonly runs: number
  readonly seed: number
  /** Steps of all runs together. */
  readonly steps: number
  /** The shortest run that was found to break a promise. */
  readonly counterexample: (Play & { readonly scenario: Scenario }) | undefined
}

/**
 * Plays random runs until one breaks a promise.
 *
 * @param shorten - then looks for a shorter one that does, which may take a while
 */
export function search(
  arbitrary: fc.Arbitrary<[Scenario, number[]]>,
  runs: number,
  seed: number,
  shorten = true,
): Search {
  let steps = 0
  const property = fc.property(arbitrary, ([scenario, choices]) => {
    const played = play(scenario, choices)
    steps += played.steps.length
    return played.problems.length === 0
  })
  const details = fc.check(property, { numRuns: runs, seed, endOnFailure: !shorten })
  const found = details.counterexample?.[0]
  return {
    runs: details.numRuns,
    seed,
    steps,
    counterexample: found && { ...play(...found), scenario: found[0] },
  }
}
