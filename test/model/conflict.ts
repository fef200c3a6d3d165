import { judgeConflict } from '../../src/sync/conflicts.ts'
import { afterConflicts, retryRow } from './attempt.ts'
import type { Rules, Scenario } from './scenario.ts'
import type { BatchStep, Step } from './step.ts'
import { takeTicket } from './ticket.ts'
import type { Batch, World } from './world.ts'

/**
 * What `Indexer.#conflicts` does about version conflicts: a fresh ticket, the stored versions, a verdict on each, and
 * a counter that went backwards is raised.
 */
export function conflictSteps(batch: Batch, { rules, coarse }: Scenario, step: BatchStep): Step[] {
  const isLast = (rules.compare === 'ticket-first') === (batch.phase === 'stored')
  switch (batch.phase) {
    case 'fresh':
      return [
        step('takes a fresh ticket for its conflicts', (world, me) => {
          takeFresh(world, me, rules, isLast)
        }),
      ]
    case 'stored':
      return [
        step('looks at the stored versions', (world, me) => {
          if (conflictsOf(me).some(({ target }) => world.indices[target] === undefined)) {
            // The index was dropped: the whole batch fails and is tried again.
            for (const row of Object.keys(me.rows)) retryRow(me, row)
            me.phase = 'settle'
            return
          }
          me.stored = conflictsOf(me).map(({ row, target }) => world.indices[target]!.documents[row]?.version)
          if (isLast) judge(me)
          else me.phase = 'fresh'
          if (coarse && !isLast) takeFresh(world, me, rules, true)
        }),
      ]
    case 'raise':
      return [
        step(`raises the ticket counter above ${batch.highest}`, (world, me) => {
          takeTicket(world, rules, me.highest)
          world.counterAlarms++
          afterConflicts(me)
        }),
      ]
    default:
      return []
  }
}

function takeFresh(world: World, batch: Batch, rules: Rules, isLast: boolean): void {
  batch.fresh = takeTicket(world, rules).version
  if (isLast) judge(batch)
  else batch.phase = 'stored'
}

function judge(batch: Batch): void {
  for (const [i, { row, isDelete }] of conflictsOf(batch).entries()) {
    const stored = batch.stored![i]
    const verdict = judgeConflict({ source: isDelete ? undefined : '{}' }, stored, String(batch.fresh))
    if (verdict !== 'superseded') retryRow(batch, row)
    if (verdict === 'counter-behind') batch.highest = Math.max(batch.highest, stored ?? 0)
  }
  if (batch.highest > 0) batch.phase = 'raise'
  else afterConflicts(batch)
}

function conflictsOf(batch: Batch): Batch['outcomes'] {
  return batch.outcomes.filter(({ fate }) => fate === 'superseded')
}
