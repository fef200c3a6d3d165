import type { RowChange } from '../changes.ts'
import { keyOf, type RowKey } from '../row-key.ts'
import { targetOf, valuesOf, type Builder } from './builder.ts'

/** The rows that the events of a statement have named, if it has events: those whose values hold their key by now. */
export function keysInValues(builder: Builder): Set<RowKey> {
  const target = targetOf(builder)
  if (target === undefined || !builder.expressionMap.callListeners) return new Set()
  const keys = valuesOf(builder).map((values) => keyOf(target.metadata, values))
  return new Set(keys.filter((key) => key !== undefined))
}

/** Without the changes of which the key is all that they tell: the foreign keys that a row had, no event names. */
export function withoutKeys(changes: readonly RowChange[], keys: ReadonlySet<RowKey>): readonly RowChange[] {
  if (keys.size === 0) return changes
  return changes.filter(
    ({ metadata, key, before = {} }) =>
      Object.keys(before).length > 0 || !keys.has(keyOf(metadata, key) ?? ''),
  )
}
