import type { ObjectLiteral } from 'typeorm'

import type { RowChange } from '../changes.ts'
import type { WriteResult } from './builder.ts'
import { carries, changesOfRow, withoutOurs, type ReturningPlan } from './plan.ts'

/** What a statement's result tells of the rows that it changed. */
interface Told {
  readonly changes: readonly RowChange[]
  /** False when it changed more rows than it returned. */
  readonly complete: boolean
}

/**
 * Takes out of a result what was added to its statement, so that the caller gets what he would get without.
 *
 * @param asked - the RETURNING list that the statement would have had
 */
export function takeChanges(plan: ReturningPlan, result: WriteResult, asked: string): Told {
  const { raw } = result
  const rows = (Array.isArray(raw) ? (raw as ObjectLiteral[]) : []).filter((row) => carries(plan, row))
  const changes = rows.flatMap((row) => changesOfRow(plan, row))
  for (const row of rows) withoutOurs(plan, row)
  if (asked === '') asIfNothingReturned(result, rows.length)
  return { changes, complete: rows.length >= (result.affected ?? 0) }
}

function asIfNothingReturned(result: WriteResult, rows: number): void {
  result.raw = []
  if (!('affected' in result)) return
  // Of an update: of the rows that it returned. (Those of an insert hold what the caller gave.)
  if (result.generatedMaps !== undefined) result.generatedMaps = []
  // MariaDB counts only rows that it does not return.
  result.affected ??= rows
}
