import Table from 'cli-table3'

import type { AuditedChanges, AuditReport } from '../audit/report.ts'

const columns = [
  'table',
  'kind',
  'changes',
  'told',
  'missed',
  'waiting',
  'unclear',
  'examples missed',
] as const

/** What an audit found, for people; the last lines say what to do. */
export function formatAudit(report: AuditReport): string {
  const { tables, from, to, against } = report
  const lines = [`Changes that ${sourceNames[against]} saw from ${from} to ${to}:`]
  lines.push(tables.length === 0 ? 'none' : formatTables(tables))
  return `${[...lines, '', ...conclusions(report)].join('\n')}\n`
}

const sourceNames = { trigger: 'triggers', wal: 'the log' } as const

function formatTables(tables: readonly AuditedChanges[]): string {
  const table = new Table({ head: [...columns], style: { head: [], border: [] } })
  for (const line of tables) {
    const { examples, firstMissedAt, lastMissedAt } = line
    const times =
      firstMissedAt === null
        ? []
        : [firstMissedAt, ...(lastMissedAt === firstMissedAt ? [] : [lastMissedAt ?? ''])]
    table.push([
      line.table,
      line.kind,
      ...(['changes', 'told', 'missed', 'waiting', 'unclear'] as const).map((field) => ({
        content: count(line[field]),
        hAlign: 'right' as const,
      })),
      [examples.join(', '), times.join(' … ')].filter(Boolean).join('\n'),
    ])
  }
  return table.toString()
}

/** What follows from a report, a sentence a line. */
export function conclusions(report: AuditReport): string[] {
  const { against, changes, missed, waiting, unclear, complete, tables, indices, resolutionMs } = report
  const lines = [
    missed === 0 ? nothingMissed(report) : `${count(missed)} of ${count(changes)} changes were missed.`,
  ]
  if (missed > 0) {
    const sources = [...new Set(tables.flatMap((line) => (line.missed > 0 ? [`"${line.capture}"`] : [])))]
    lines.push(
      `To see such changes, choose capture "${against}" in place of ${sources.join(' and ')} (docs/guarantees.md), or make them ` +
        'another way.',
      ...indices.map((name) => `Cure what was missed now with: redstream verify ${name} --repair`),
    )
  }
  if (waiting > 0)
    lines.push(
      `${count(waiting)} changes wait in the delay stream, or for a relay or follower: see redstream status.`,
    )
  if (unclear > 0) {
    lines.push(
      `${count(unclear)} updates were not told of, and the log does not say whether they have changed a column that matters: ` +
        'audit against "trigger".',
    )
  }
  if (!complete) lines.push('Stopped before its time was over.')
  lines.push(`Changes of one row within ${count(resolutionMs)} ms of each other are not told apart.`)
  return lines
}

function nothingMissed({ changes, tables }: AuditReport): string {
  if (tables.length === 0) return 'Nothing was changed, so nothing can be said.'
  return `Nothing was missed in ${count(changes)} changes.`
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}
