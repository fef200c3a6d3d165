import { formatAge } from '../runtime/age.ts'
import { formatValue } from '../runtime/option-values.ts'
import { options } from '../runtime/options.ts'
import type { LogStatus } from './log-status.ts'

/** Something about the log of the database that `redstream health` complains of. */
export interface LogProblem {
  readonly problem: 'log' | 'log-lag' | 'verify-due'
  /** For people. */
  readonly message: string
}

/** What is wrong with the log of the database, or with what was read of it. */
export function logProblems(
  { slot, state, keptBytes, lagMs, problem, verify }: LogStatus,
  limits: { readonly maxLagMs: number; readonly walWarnLag: number },
): LogProblem[] {
  const found: LogProblem[] = []
  const say = (kind: LogProblem['problem'], message: string): void =>
    void found.push({ problem: kind, message })
  if (problem !== undefined) say('log', problem)
  if (state === 'missing' || state === 'lost')
    say(
      'log',
      `the replication slot ${slot} is ${state}: changes are missed until a follower makes another (\`redstream follower\`); then verify the indices`,
    )
  if (keptBytes !== null && keptBytes > limits.walWarnLag)
    say(
      'log-lag',
      `the database keeps ${keptBytes} bytes of log for the replication slot ${slot}, above ${formatValue(options.walWarnLag, limits.walWarnLag)} (walWarnLag): see the log of the follower, and pg_stat_activity for transactions that stay open`,
    )
  if (lagMs !== null && lagMs > limits.maxLagMs)
    say('log-lag', `the log of the database is read ${formatAge(lagMs)} late: see the log of the follower`)
  for (const { index, reason, since } of verify)
    say(
      'verify-due',
      `${index} may miss changes from before or at ${since}, because ${reason}: run \`redstream verify ${index} --repair\` while a follower reads`,
    )
  return found
}
