import type { CaptureMode } from '../../../src/capture/modes.ts'
import type { Tally } from '../faults/context.ts'
import type { Difference } from './differences.ts'
import type { Left } from './drained.ts'
import type { Writes } from './writes.ts'

/** What the torture did and found; with `--json` all that is printed. */
export interface Report {
  readonly seed: number
  readonly seconds: number
  readonly sabotage?: string
  readonly capture: CaptureMode
  readonly writers: number
  readonly consumers: number
  readonly writes: Writes
  readonly faults: Tally
  /** Requests to Elasticsearch by what the proxy did to them. */
  readonly requests: Tally
  /** Messages that the workers said they had saved from the dead, by how. */
  readonly healed: Tally
  readonly rows: number
  readonly documents: number
  readonly missing: number
  readonly stale: number
  readonly orphaned: number
  /** Rows of which a consumer group of the user's own has never heard. */
  readonly unheard: number
  /** What was still in Redis after the wait. */
  readonly left: Left
  /** What should not have happened beside that. */
  readonly problems: readonly string[]
  readonly drainSeconds: number
  /** Logs and traces; kept when something is wrong. */
  readonly folder?: string
}

/** True when nothing is lost, nothing stale, and nothing is left. */
export function isGood(report: Report): boolean {
  const { missing, stale, orphaned, unheard, left, problems } = report
  return missing + stale + orphaned + unheard + Object.keys(left).length + problems.length === 0
}

/** Says why the outcome proves nothing: a torture without writes or faults must not pass. */
export function emptiness({ rows, writes }: Pick<Report, 'rows' | 'writes'>): string[] {
  const done = writes.ends['done'] ?? 0
  return done < 50 || rows < 50
    ? [`only ${done} writes were done and ${rows} rows are there: this proves nothing`]
    : []
}

/** The report for people. */
export function formatReport(report: Report): string {
  const { writes, seed, seconds, capture, writers, consumers, sabotage } = report
  const lines = [
    `seed ${seed}, ${seconds} s, capture ${capture}, ${writers} writers, ${consumers} consumers${sabotage === undefined ? '' : `, sabotage: ${sabotage}`}`,
    `writes         ${count(total(writes.paths))}: ${list(writes.ends)}; the longest took ${writes.longestMs} ms`,
    `ways           ${list(writes.paths)}`,
    `rows changed   ${list(writes.changes)}`,
    `faults         ${list(report.faults)}`,
    `requests       ${list(report.requests)}`,
    `healed         ${list(report.healed)}`,
    `drained        ${report.drainSeconds} s after the last write`,
    ...Object.entries(report.left).map(([key, what]) => `left           ${key}: ${what}`),
    ...report.problems.map((problem) => `problem        ${problem}`),
    ...(report.folder === undefined ? [] : [`logs           ${report.folder}`]),
    `${count(report.rows)} rows, ${count(report.documents)} documents: ${report.missing} missing, ${report.stale} stale, ${report.orphaned} orphaned, ${report.unheard} unheard of`,
  ]
  return `${lines.join('\n')}\n`
}

/** One difference with all that is known about it. */
export function formatDifference({ kind, index, id, expected, found }: Difference): string {
  return [
    `${kind}: document ${id} of ${index}`,
    `  the row says       ${expected === undefined ? 'there is none' : JSON.stringify(expected)}`,
    `  the document says  ${found === undefined ? 'there is none' : `${JSON.stringify(found.content)}, version ${found.version}`}`,
  ].join('\n')
}

function list(tally: Tally): string {
  const entries = Object.entries(tally).sort(([, a], [, b]) => b - a)
  return entries.map(([name, times]) => `${name} ${count(times)}`).join(', ') || 'none'
}

function total(tally: Tally): number {
  return Object.values(tally).reduce((sum, times) => sum + times, 0)
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}
