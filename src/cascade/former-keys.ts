import type { EntityMetadata } from 'typeorm'
import { z } from 'zod'

import type { Column, ForeignKeys, RowChange } from '../capture/changes.ts'
import { keyText } from '../capture/row-key.ts'
import type { CascadePath } from './paths.ts'

/**
 * The foreign keys that a change takes from a row, as far as some path needs them: the documents that held the row
 * through them cannot be found through the row any more. A JSON object of texts by column name, as a message carries
 * it; undefined when nothing is lost.
 */
export function formerKeys(paths: readonly CascadePath[], change: RowChange): string | undefined {
  // Soft-deleted and restored rows still refer to where they were.
  if (change.before === undefined || (change.kind !== 'update' && change.kind !== 'delete')) return undefined
  const lost: Record<string, string> = {}
  for (const { kind, values } of paths) {
    if (kind !== 'former parent') continue
    const before = textsOf(values, change.before)
    const after = change.after && textsOf(values, change.after)
    if (before === undefined || before.every((text, index) => text === after?.[index])) continue
    values.forEach((column, index) => (lost[column.databaseName] = before[index]!))
  }
  return Object.keys(lost).length === 0 ? undefined : JSON.stringify(lost)
}

/** The foreign keys of an entity whose former values {@link formerKeys} looks for. */
export function formerColumns(paths: readonly CascadePath[], { columns }: EntityMetadata): Column[] {
  const wanted = new Set(
    paths
      .filter(({ kind }) => kind === 'former parent')
      .flatMap(({ values }) => values.map(({ databaseName }) => databaseName)),
  )
  return columns.filter(({ databaseName }) => wanted.has(databaseName))
}

const textsSchema = z.record(z.string(), z.string())

/** The texts of some foreign key in what {@link formerKeys} wrote; undefined when that says nothing of it. */
export function readFormerKeys(columns: readonly Column[], json: string): string[] | undefined {
  const texts = textsSchema.parse(JSON.parse(json))
  const found = columns.flatMap(({ databaseName }) => texts[databaseName] ?? [])
  return found.length === columns.length ? found : undefined
}

/** Undefined when a part is null or not known: such a key refers to nothing. */
function textsOf(columns: readonly Column[], values: ForeignKeys): string[] | undefined {
  const texts = columns.flatMap(
    (column) => keyText(column.referencedColumn ?? column, values[column.databaseName]) ?? [],
  )
  return texts.length === columns.length ? texts : undefined
}
