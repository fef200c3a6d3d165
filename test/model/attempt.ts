import { fateOfRequest } from '../../src/indexing/fate.ts'
import { latestMessages } from '../../src/streams/batch.ts'
import type { Rules } from './scenario.ts'
import type { Batch, Outcome, Phase, World } from './world.ts'

/** The life of one attempt at a batch, as far as it is decided without asking anybody. */

/** A new attempt at a batch: nothing is known yet. */
export function attempt(
  batch: Pick<Batch, 'lane' | 'entries'>,
  world: World,
  group: string,
  rules: Rules,
): Batch {
  return {
    lane: batch.lane,
    entries: batch.entries,
    phase: group === 'watch' ? 'rows' : orderOf(rules)[0]!,
    attempt: `#${++world.serial}`,
    version: 0,
    takenAt: 0,
    targets: [],
    rows: {},
    waiting: 0,
    outcomes: [],
    fresh: 0,
    stored: undefined,
    highest: 0,
    retry: [],
    buried: [],
  }
}

/** Takes the answers of a bulk request, all of them, and decides what is to be done about them. */
export function answered(batch: Batch, rules: Rules, outcomes: Outcome[]): void {
  batch.waiting = 0
  batch.outcomes = outcomes
  for (const { row, fate } of outcomes) if (fate === 'wait' || fate === 'fatal') retryRow(batch, row)
  const conflict = outcomes.some(({ fate }) => fate === 'superseded')
  if (conflict && rules.conflicts === 'judged')
    batch.phase = rules.compare === 'ticket-first' ? 'fresh' : 'stored'
  else afterConflicts(batch)
}

/** What follows when the conflicts are judged. */
export function afterConflicts(batch: Batch): void {
  batch.phase = burialsOf(batch).length > 0 ? 'bury' : 'settle'
}

export function retryRow(batch: Batch, row: string): void {
  if (!batch.retry.includes(row)) batch.retry.push(row)
}

/** What comes of a request without an answer. */
export function waitOutcomes(batch: Batch): Outcome[] {
  const fate = fateOfRequest({ status: 0 })
  return rowsOf(batch).map((row) => ({ row, target: '', isDelete: false, fate }))
}

export function rowsOf(batch: Pick<Batch, 'entries'>): string[] {
  return latestMessages(batch.entries).map(({ id }) => id)
}

/** The order is the promise. */
function orderOf(rules: Rules): Phase[] {
  if (rules.versions === 'ticket-after-read') return ['rows', 'ticket', 'send']
  if (rules.targets === 'before-ticket') return ['targets', 'ticket', 'rows', 'send']
  return ['ticket', 'rows', 'send']
}

/** The next of the first three phases. */
export function goOn(batch: Batch, rules: Rules): void {
  const order = orderOf(rules)
  batch.phase = order[order.indexOf(batch.phase) + 1]!
}

/** Rows that become dead letters. */
export function burialsOf(batch: Batch): string[] {
  const poison = batch.outcomes.filter(({ row, fate }) => fate === 'poison' && !batch.retry.includes(row))
  return [...new Set(poison.map(({ row }) => row))]
}
