import { phases } from '../../src/reindex/phases.ts'
import type { ReindexState } from '../../src/reindex/state.ts'
import { differencesLeft, type VerifyReport } from '../../src/verify/report.ts'
import type { Kill } from './crew.ts'
import type { Lag, Writes } from './live.ts'
import type { Searches } from './search.ts'

/** What the benchmark wanted of its run. */
export interface Wanted {
  readonly writesPerSecond: number
  readonly kills: number
}

/** What the run came to. */
export interface Run {
  readonly state: ReindexState
  readonly kills: readonly Kill[]
  /** Workers that ended by themselves. */
  readonly lostWorkers: number
  readonly writes: Writes
  readonly searches: Searches
  /** Right after the swap, while rows were written. */
  readonly verify: VerifyReport & { readonly seconds: number }
  readonly lagMs: Readonly<Record<'before' | 'during' | 'verifying' | 'after', Lag>>
  readonly rowsAtTheEnd: number
  readonly documentsAtTheEnd: number
}

/** Of the wanted writes a second, so many were to be made: otherwise the run does not show what it shall. */
const enoughWrites = 0.95

/** What went wrong in a run; nothing may. */
export function problemsOf(run: Run, wanted: Wanted): string[] {
  const { state, kills, lostWorkers, writes, searches, verify, rowsAtTheEnd, documentsAtTheEnd } = run
  const differences = differencesLeft(verify)
  return [
    ...(state.swappedAt === undefined ? [`the alias is not swapped: it ${phases[state.phase]}`] : []),
    ...(verify.index === state.to ? [] : [`not the new index ${state.to} is verified, but ${verify.index}`]),
    ...(verify.complete ? [] : ['verify was stopped']),
    ...(differences === 0 ? [] : [`${differences} documents differ from their rows`]),
    ...(searches.errors === 0 ? [] : [`${searches.errors} searches failed`]),
    ...(searches.empty === 0 ? [] : [`${searches.empty} searches found nothing`]),
    ...(kills.length === wanted.kills ? [] : [`only ${kills.length} workers could be killed`]),
    ...(lostWorkers === 0 ? [] : [`${lostWorkers} workers ended by themselves`]),
    ...(writes.perSecond >= wanted.writesPerSecond * enoughWrites
      ? []
      : [`only ${writes.perSecond} of ${wanted.writesPerSecond} writes a second were made`]),
    ...(rowsAtTheEnd === documentsAtTheEnd
      ? []
      : [`${rowsAtTheEnd} rows and ${documentsAtTheEnd} documents at the end`]),
  ]
}
