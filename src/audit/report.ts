import type { CaptureMode } from '../capture/modes.ts'
import type { Judge, SeenChange, SeenKind } from './matcher.ts'
import type { ShadowMode } from './shadow.ts'

/** What was changed in one way in one table, and how much of it the audited source told of. */
export interface AuditedChanges {
  /** The table's path, as TypeORM has it. */
  readonly table: string
  readonly kind: SeenKind
  /** The source that is audited. */
  readonly capture: CaptureMode
  /** Rows that the shadow has seen changed. */
  readonly changes: number
  readonly told: number
  readonly missed: number
  /** Not told of yet: a message is on its way, in the delay stream or in what lies before the streams. */
  readonly waiting: number
  /** Not told of, perhaps because nothing has changed that matters to a document: the log does not tell. */
  readonly unclear: number
  /** Keys of some rows that were missed; of a table that was truncated as a whole, none. */
  readonly examples: readonly string[]
  /** When the first and the last one that was missed were committed, by the database's clock (ISO 8601). */
  readonly firstMissedAt: string | null
  readonly lastMissedAt: string | null
}

/** What `redstream audit --json` prints. */
export interface AuditReport {
  /** The source in the shadow. */
  readonly against: ShadowMode
  /** What it looked at, by the database's clock (ISO 8601). */
  readonly from: string
  readonly to: string
  /** False: it was stopped before its time was over. */
  readonly complete: boolean
  readonly changes: number
  readonly told: number
  readonly missed: number
  readonly waiting: number
  readonly unclear: number
  /** Two changes of a row that were committed within so many ms count as told when one of them was. */
  readonly resolutionMs: number
  readonly tables: readonly AuditedChanges[]
  /** The indices whose documents may be wrong because of what was missed. */
  readonly indices: readonly string[]
}

/** Rows that are named of each kind of change in each table. */
const mostExamples = 5

type Line = { -readonly [Field in keyof AuditedChanges]: AuditedChanges[Field] } & { examples: string[] }

/** Counts what became of each change, by table, kind and audited source. */
export class Tally implements Judge {
  readonly #lines = new Map<string, Line>()
  #missed = 0

  /** How many are missed so far. */
  get missedSoFar(): number {
    return this.#missed
  }

  /** The tables of which something is missed. */
  get missedTables(): ReadonlySet<string> {
    return new Set([...this.#lines.values()].flatMap(({ table, missed }) => (missed > 0 ? [table] : [])))
  }

  told(change: SeenChange): void {
    const line = this.#line(change)
    line.changes += 1
    line.told += 1
  }

  waits(change: SeenChange): void {
    const line = this.#line(change)
    line.changes += 1
    line.waiting += 1
  }

  missed(change: SeenChange): void {
    const line = this.#line(change)
    line.changes += 1
    if (!change.isCertain) {
      line.unclear += 1
      return
    }
    line.missed += 1
    this.#missed += 1
    const at = new Date(change.committedMs).toISOString()
    if (line.firstMissedAt === null || at < line.firstMissedAt) line.firstMissedAt = at
    if (line.lastMissedAt === null || at > line.lastMissedAt) line.lastMissedAt = at
    const key = change.wanted[0]?.key
    if (key === undefined || line.examples.length >= mostExamples || line.examples.includes(key)) return
    line.examples.push(key)
  }

  /** One line for each table and kind, in alphabetical order. */
  get lines(): readonly AuditedChanges[] {
    return [...this.#lines.keys()].toSorted().map((name) => this.#lines.get(name)!)
  }

  #line({ table, kind, capture }: SeenChange): Line {
    const name = `${table} ${kind} ${capture}`
    const known = this.#lines.get(name)
    if (known !== undefined) return known
    const counts = { changes: 0, told: 0, missed: 0, waiting: 0, unclear: 0 }
    const line = { table, kind, capture, ...counts, examples: [], firstMissedAt: null, lastMissedAt: null }
    this.#lines.set(name, line)
    return line
  }
}

/** A report of these lines, with their sums. */
export function reportOf(
  lines: readonly AuditedChanges[],
  facts: Pick<AuditReport, 'against' | 'from' | 'to' | 'complete' | 'resolutionMs' | 'indices'>,
): AuditReport {
  const sum = (field: 'changes' | 'told' | 'missed' | 'waiting' | 'unclear'): number =>
    lines.reduce((total, line) => total + line[field], 0)
  const { against, from, to, complete, resolutionMs, indices } = facts
  return {
    against,
    from,
    to,
    complete,
    changes: sum('changes'),
    told: sum('told'),
    missed: sum('missed'),
    waiting: sum('waiting'),
    unclear: sum('unclear'),
    resolutionMs,
    tables: lines,
    indices,
  }
}
