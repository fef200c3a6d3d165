/** What became of a test, or of a test file that could not be run at all. */
export interface Outcome {
  readonly name: string
  readonly state: 'passed' | 'failed' | 'skipped'
  /** Why it was skipped. */
  readonly reason?: string
  /** It failed at first. */
  readonly isFlaky?: boolean
}

/**
 * The end of the output: the skipped tests with their reasons, those that passed at the second attempt, and as the last
 * line `N passed, N failed`. Errors outside of any test count as failed, so that the line never looks good when the exit
 * code is not 0.
 */
export function summarise(outcomes: readonly Outcome[], errorsOutside: number, listSkipped = true): string[] {
  const count = (state: Outcome['state']): number =>
    outcomes.filter((outcome) => outcome.state === state).length
  const skipped = outcomes.filter((outcome) => listSkipped && outcome.state === 'skipped')
  return [
    ...skipped.map(({ name, reason }) => `skipped: ${name} (${reason ?? 'no reason given'})`),
    ...outcomes
      .filter(({ isFlaky }) => isFlaky)
      .map(({ name }) => `passed only at the second attempt: ${name}`),
    ...(errorsOutside === 0 ? [] : [`errors outside of any test, counted as failed: ${errorsOutside}`]),
    `${count('passed')} passed, ${count('failed') + errorsOutside} failed`,
  ]
}

/** Whether failed files are few enough to be the machine's doing; of a run of few files each may fail. */
export function worthAnotherTry(failedFiles: number, files: number): boolean {
  return failedFiles > 0 && failedFiles <= Math.max(1, files / 20)
}
