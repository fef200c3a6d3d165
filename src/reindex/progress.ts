import { isSettled, type Phase } from './phases.ts'
import type { Driver, ReindexState } from './state.ts'
import type { CopyProgress } from './store.ts'

/** How far a reindex is, as `redstream progress --json` prints it. */
export interface ReindexProgress {
  name: string
  phase: Phase
  from: string
  to: string
  /** Rows that are copied, and about how many there are. */
  rows: number
  total: number
  rowsPerSecond: number
  /** Size of the documents. */
  bytes: number
  /** Until the copy is complete; null when that cannot be told. */
  secondsLeft: number | null
  slices: {
    total: number
    done: number
    /** Those that are begun; `cursor` is the key of the last row that is copied. */
    open: { slice: number; rows: number; cursor: string }[]
  }
  /** Who drives it; null when nobody does, so that it goes on when somebody runs it again, or a worker. */
  driver: { host: string; pid: number; since: string } | null
  startedAt: string
  /** Why it is undone, or is to be; null when nothing is wrong. */
  problem: string | null
}

/**
 * Puts the notice together.
 *
 * @param now - ms since 1970, by Redis' clock
 * @param recent - rows a second that were seen lately; undefined: the mean since the copy began
 */
export function progressOf(
  state: ReindexState,
  copy: CopyProgress,
  driver: Driver | undefined,
  now: number,
  recent?: number,
): ReindexProgress {
  const { name, phase, from, to, copyingAt, slices, startedAt, problem } = state
  const isCopied = copyingAt !== undefined && phase !== 'copying'
  const seconds = copyingAt === undefined ? 0 : (now - copyingAt) / 1_000
  const rows = isCopied ? Math.max(copy.rows, state.documents) : copy.rows
  const rowsPerSecond = phase === 'copying' ? Math.round(recent ?? (seconds > 0 ? rows / seconds : 0)) : 0
  const total = Math.max(state.rows, rows)
  return {
    name,
    phase,
    from,
    to,
    rows,
    total,
    rowsPerSecond,
    bytes: copy.bytes,
    secondsLeft: phase === 'copying' && rowsPerSecond > 0 ? Math.ceil((total - rows) / rowsPerSecond) : null,
    slices: {
      total: slices,
      done: isCopied ? slices : copy.done,
      open: copy.open.map((one) => ({ ...one })),
    },
    driver:
      driver === undefined || isSettled(phase)
        ? null
        : { host: driver.host, pid: driver.pid, since: new Date(driver.since).toISOString() },
    startedAt: new Date(startedAt).toISOString(),
    problem: problem ?? null,
  }
}

const windowMs = 10_000

/** Rows a second over the last ten seconds. */
export class Speed {
  readonly #samples: { readonly rows: number; readonly at: number }[] = []

  /** @param at - ms of any clock; never earlier than before */
  add(rows: number, at: number): void {
    // Another copy has begun.
    if (rows < (this.#samples.at(-1)?.rows ?? 0)) this.#samples.length = 0
    this.#samples.push({ rows, at })
    while (this.#samples.length > 2 && this.#samples[1]!.at <= at - windowMs) this.#samples.shift()
  }

  /** Undefined until two samples are a second apart. */
  get rowsPerSecond(): number | undefined {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)]
    if (first === undefined || last === undefined || last.at - first.at < 1_000) return undefined
    return ((last.rows - first.rows) * 1_000) / (last.at - first.at)
  }
}
