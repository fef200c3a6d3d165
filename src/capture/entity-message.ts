import type { ObjectLiteral } from 'typeorm'

import type { StreamDefinition } from '../indexed.ts'
import type { Message } from '../streams/message.ts'
import { encodePlace, isMovable, placeOf, unknownPlace } from '../place.ts'
import type { RowChange } from './changes.ts'
import { keyOf, type RowKey } from './row-key.ts'

/** Where a write event may hold the key of its row. */
export interface KeySource {
  readonly entity?: ObjectLiteral | undefined
  readonly databaseEntity?: ObjectLiteral | undefined
  readonly entityId?: unknown
}

/**
 * The key of a row, or undefined when it is not known. After `remove` only `entityId` and `databaseEntity` still have
 * it; after an insert by the query builder only `entity` has it.
 */
export function keyIn({ metadata }: StreamDefinition, source: KeySource): RowKey | undefined {
  return (
    keyOf(metadata, source.entityId) ??
    keyOf(metadata, source.entity) ??
    keyOf(metadata, source.databaseEntity)
  )
}

/**
 * The key of a changed row as a definition has it. The change may tell of it in other words: another class may stand for
 * the same table, with properties of its own, as one for a junction table does.
 */
export function keyOfChange(
  { metadata }: StreamDefinition,
  change: Pick<RowChange, 'metadata' | 'key'>,
): RowKey | undefined {
  if (change.key === undefined || change.metadata === metadata) return keyOf(metadata, change.key)
  const key: ObjectLiteral = {}
  for (const column of metadata.primaryColumns) {
    const told = change.metadata.primaryColumns.find((one) => one.databaseName === column.databaseName)
    column.setEntityValue(key, told?.getEntityValue(change.key))
  }
  return keyOf(metadata, key)
}

/** The message for a row, or undefined when its key is not known. Throws what `payload()` throws. */
export function messageFor(definition: StreamDefinition, source: KeySource): Message | undefined {
  const { payload } = definition.options
  const id = keyIn(definition, source)
  if (id === undefined) return undefined
  const entity = source.entity ?? source.databaseEntity
  return {
    id,
    ...(payload === undefined || entity === undefined ? {} : { payload: JSON.stringify(payload(entity)) }),
    ...(isMovable(definition) ? { places: [formerPlace(definition, id, source)] } : {}),
  }
}

/**
 * Where the document of a row was before the write. `save` and `remove` know the row as it was; a row that `save`
 * inserts, which has an id of its own in the event, had no document, and its place is where it will be.
 */
function formerPlace(
  definition: StreamDefinition,
  id: RowKey,
  { entity, databaseEntity, entityId }: KeySource,
): string {
  // Of related rows, events have no more than the keys: a place that is made of them would be a wrong one.
  if (Object.keys(definition.options.relations ?? {}).length > 0) return unknownPlace
  const known = databaseEntity ?? (entityId === undefined ? undefined : entity)
  if (known === undefined) return unknownPlace
  try {
    return encodePlace(placeOf(definition, id, known))
  } catch {
    // What it needs is not there: consumers look the document up.
    return unknownPlace
  }
}
