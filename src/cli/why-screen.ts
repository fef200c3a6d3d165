import type { WhyReport } from '../verify/why.ts'
import { formatField, formatPlace } from './verify-table.ts'

const mostLines = 10

/** One screen for people: first what to make of it, then the facts. */
export function formatWhy(report: WhyReport): string {
  const { name, id, verdict, row, document, fields, ticket, partition, cascades, deadLetter, workers } =
    report
  const facts: [string, string[]][] = [
    ['row', [row ? 'present' : 'none']],
    ['document', [formatDocument(document)]],
    ['differs', fields.map(formatField)],
    ['ticket', [`${ticket ?? 'none yet'} (last of partition ${partition})`]],
    ['messages', formatMessages(report)],
    ['embedded', cascades.map((stream) => `changes wait in ${stream}`)],
    [
      'dead letter',
      deadLetter === null
        ? ['none']
        : [
            `${deadLetter.type}: ${deadLetter.reason}`,
            `tried ${deadLetter.attempts} times, first ${deadLetter.firstAt}, last ${deadLetter.lastAt}`,
          ],
    ],
    [
      'workers',
      [
        Object.entries(workers)
          .map(([kind, count]) => `${kind}: ${count}`)
          .join(', ') || 'none alive',
      ],
    ],
  ]
  const lines = facts.flatMap(([label, values]) =>
    shortened(values).map((value, i) => `${(i === 0 ? label : '').padEnd(12)} ${value}`),
  )
  return [`${name} ${id}: ${verdict}`, '', ...lines].map((line) => `${line}\n`).join('')
}

function formatDocument(document: WhyReport['document']): string {
  if (document === null) return 'none'
  const { index, place, version, ticketAt } = document
  const meaning = ticketAt === null ? 'no ticket: written by another program' : `a ticket of ${ticketAt}`
  return `${formatPlace(place)} in ${index}, version ${version} (${meaning})`
}

function formatMessages({ messages: { messages, entries, all } }: WhyReport): string[] {
  const looked = all
    ? `all ${entries} entries were looked at`
    : `only the newest ${entries} entries were looked at`
  return [
    ...messages.map(({ stream, entry, at, state, consumer, deliveries }) => {
      const who = consumer === undefined ? '' : ` (${consumer}, given out ${deliveries} times)`
      return `${stream} ${entry}, ${at}, ${state}${who}`
    }),
    `(${looked})`,
  ]
}

function shortened(lines: readonly string[]): readonly string[] {
  const more = lines.length - mostLines
  return more > 1 ? [...lines.slice(0, mostLines - 1), `… and ${more} more`, lines.at(-1)!] : lines
}
