/** Called by a command that is done, with the exit code. */
export type Finish = (exitCode: number) => void
