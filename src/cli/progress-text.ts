import { phases } from '../reindex/phases.ts'
import type { ReindexProgress } from '../reindex/progress.ts'
import { formatAge } from '../runtime/age.ts'

/** How far a reindex is, in one line. */
export function progressText(progress: ReindexProgress): string {
  const { phase, rows, total, rowsPerSecond, secondsLeft, bytes, problem } = progress
  if (phase === 'undone' || phase === 'removing')
    return `${phases[phase]}${problem === null ? '' : `: ${problem}`}`
  if (phase !== 'copying') return phases[phase]
  const left = secondsLeft === null ? '' : `, ${formatAge(secondsLeft * 1_000)} left`
  const size = bytes === 0 ? '' : `, ${Math.round(bytes / 1024 ** 2).toLocaleString('en-US')} MiB`
  return `${count(rows)} of ${count(total)} rows, ${count(rowsPerSecond)}/s${size}${left}`
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}
