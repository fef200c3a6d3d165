import type { ObjectLiteral } from 'typeorm'

import type { IndexDefinition } from '../indexed.ts'
import type { Message } from '../streams/message.ts'
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
export function keyIn({ metadata }: IndexDefinition, source: KeySource): RowKey | undefined {
  return (
    keyOf(metadata, source.entityId) ??
    keyOf(metadata, source.entity) ??
    keyOf(metadata, source.databaseEntity)
  )
}

/** The message for a row, or undefined when its key is not known. Throws what `payload()` throws. */
export function messageFor(definition: IndexDefinition, source: KeySource): Message | undefined {
  const { payload } = definition.options
  const id = keyIn(definition, source)
  if (id === undefined) return undefined
  const entity = source.entity ?? source.databaseEntity
  if (payload === undefined || entity === undefined) return { id }
  return { id, payload: JSON.stringify(payload(entity)) }
}
