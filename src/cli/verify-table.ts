import Table from 'cli-table3'

import type { Place } from '../place.ts'
import type { FieldDifference } from '../verify/json-difference.ts'
import { differencesLeft, type Example, type VerifyReport } from '../verify/report.ts'

const counted = [
  ['rows', 'rows'],
  ['documents', 'documents'],
  ['missing', 'missing: a row without a document'],
  ['stale', 'stale: a document that is not as its row'],
  ['orphaned', 'orphaned: a document without a row, or that should not be'],
  ['unindexable', 'not indexable: dead letters, and document() that fails'],
  ['inFlight', 'in flight: a change is on its way, or workers are missing'],
  ['repaired', 'repaired'],
] as const

const longestValue = 60

/** What verify found, for people; the last line says how many differences are left. */
export function formatVerify(report: VerifyReport): string {
  const { name, index, examples, complete } = report
  const lines = [`${name} (${index})`]
  for (const [field, label] of counted) lines.push(`${count(report[field]).padStart(12)}  ${label}`)
  if (examples.length > 0) lines.push('', formatExamples(examples))
  if (!complete) lines.push('', 'Stopped before the end: what was not looked at yet may differ too.')
  lines.push('', conclusion(report))
  return `${lines.join('\n')}\n`
}

function conclusion(report: VerifyReport): string {
  const left = differencesLeft(report)
  const { missing, stale, orphaned, repaired, unindexable, inFlight, name } = report
  const advice = [
    missing + stale + orphaned > 0 && repaired === 0
      ? `cure them with: redstream verify ${name} --repair`
      : '',
    unindexable > 0 ? `see: redstream dead-letters list` : '',
    inFlight > 0 ? 'in flight: look at redstream status, and verify again' : '',
  ].filter(Boolean)
  return [left === 1 ? '1 difference' : `${count(left)} differences`, ...advice].join('; ')
}

function formatExamples(examples: readonly Example[]): string {
  const table = new Table({ head: ['id', 'kind', 'what'], style: { head: [], border: [] } })
  for (const { id, place, kind, fields, reason } of examples) {
    table.push([
      place === undefined ? id : `${id} (at ${formatPlace(place)})`,
      kind,
      reason === undefined ? (fields ?? []).map(formatField).join('\n') : shortened(reason),
    ])
  }
  return table.toString()
}

/** One field that differs, as a line. */
export function formatField({ field, row, document }: FieldDifference): string {
  return `${field}: row ${valueText(row)}, document ${valueText(document)}`
}

export function formatPlace({ id, routing }: Place): string {
  return routing === undefined ? id : `${id}, routing ${routing}`
}

function valueText(value: unknown): string {
  return value === undefined ? 'has none' : shortened(JSON.stringify(value))
}

function shortened(text: string): string {
  return text.length > longestValue ? `${text.slice(0, longestValue - 1)}…` : text
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}
