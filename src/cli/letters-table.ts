import Table from 'cli-table3'

import type { DeadLetter } from '../streams/dead-letters.ts'

const longestReason = 60

/** Dead letters for people, one row each. */
export function formatLetters(letters: readonly DeadLetter[]): string {
  if (letters.length === 0) return 'No dead letters.\n'
  const table = new Table({
    head: ['stream', 'id', 'type', 'reason', 'tried', 'first', 'last'],
    colAligns: ['left', 'left', 'left', 'left', 'right', 'left', 'left'],
    style: { head: [], border: [] },
  })
  for (const { stream, id, type, reason, attempts, firstAt, lastAt } of letters) {
    const short = reason.length > longestReason ? `${reason.slice(0, longestReason - 1)}…` : reason
    table.push([stream, id, type, short, attempts, firstAt, lastAt])
  }
  return `${table.toString()}\n`
}
