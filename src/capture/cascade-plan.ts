import type { EntityMetadata } from 'typeorm'

import type { Column } from './changes.ts'

/** A foreign key through which the database itself deletes or changes rows when the row that they refer to goes. */
export interface CascadeStep {
  /** The table whose rows go or change. With table inheritance, the entity at the root. */
  readonly metadata: EntityMetadata
  /** The foreign key, and the columns that it refers to, in the same order. */
  readonly columns: readonly Column[]
  readonly referenced: readonly Column[]
  readonly action: 'CASCADE' | 'SET NULL' | 'SET DEFAULT'
  /** Whether these rows matter themselves, or only those that go with them. */
  readonly matters: boolean
}

/** By the path of the table whose rows are deleted. */
export type CascadePlan = ReadonlyMap<string, readonly CascadeStep[]>

/**
 * What the database does by itself when rows are deleted, from the entities' `onDelete`: junction tables of
 * many-to-many relations included, whose foreign keys TypeORM makes `ON DELETE CASCADE`. Steps that lead to no row that
 * matters are left out. Cycles (trees that refer to themselves) stay: the walk along the plan guards against them.
 *
 * @param matters - whether a change of an entity's rows is to be told
 */
export function cascadePlan(
  metadatas: readonly EntityMetadata[],
  matters: (metadata: EntityMetadata) => boolean,
): CascadePlan {
  const mattering = new Set(metadatas.filter(matters).map(({ tablePath }) => tablePath))
  const steps = metadatas
    // The table of a child entity is that of its root, which has the foreign keys of all.
    .filter(({ tableType }) => tableType !== 'entity-child')
    .flatMap((metadata) => stepsInto(metadata, mattering.has(metadata.tablePath)))
  return Map.groupBy(leadingSomewhere(steps), ({ parent }) => parent)
}

/** Whether rows of a table may be deleted because rows of the same table are. */
export function isInCycle(plan: CascadePlan, table: string): boolean {
  const reached = new Set<string>()
  const visit = (from: string): void => {
    for (const { action, metadata } of plan.get(from) ?? []) {
      const next = metadata.tablePath
      if (action !== 'CASCADE' || reached.has(next)) continue
      reached.add(next)
      visit(next)
    }
  }
  visit(table)
  return reached.has(table)
}

type PlannedStep = CascadeStep & { readonly parent: string }

function stepsInto(metadata: EntityMetadata, matters: boolean): PlannedStep[] {
  return metadata.foreignKeys.flatMap((foreignKey): PlannedStep[] => {
    const { columns, referencedColumns, referencedEntityMetadata } = foreignKey
    // TypeORM's type says DEFAULT, which no database understands; it passes on the SQL that is given.
    const action: string | undefined = foreignKey.onDelete
    if (action !== 'CASCADE' && action !== 'SET NULL' && action !== 'SET DEFAULT') return []
    const parent = referencedEntityMetadata.tablePath
    return [{ metadata, columns, referenced: referencedColumns, action, matters, parent }]
  })
}

/** Without the steps whose rows do not matter and take none along that do. */
function leadingSomewhere(steps: readonly PlannedStep[]): PlannedStep[] {
  let kept = steps.filter(({ matters }) => matters)
  for (;;) {
    const deletedFrom = new Set(kept.map(({ parent }) => parent))
    const more = steps.filter(
      ({ matters, action, metadata }) =>
        matters || (action === 'CASCADE' && deletedFrom.has(metadata.tablePath)),
    )
    if (more.length === kept.length) return kept
    kept = more
  }
}
