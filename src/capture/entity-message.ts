import type { ObjectLiteral } from 'typeorm'

import type { IndexDefinition } from '../indexed.ts'
import type { Message } from '../streams/message.ts'
import { keyOf } from './row-key.ts'

/** Where a write event may hold the key of its row. */
export interface KeySource {
  readonly entity?: ObjectLiteral | undefined
  readonly databaseEntity?: ObjectLiteral | undefined
  readonly entityId?: unknown
}

/**
 * The message for a row, or undefined when its key is not known. After `remove` only `entityId` and `databaseEntity`
 * still have the key; after an insert by the query builder only `entity` has it.
 */
export function messageFor(definition: IndexDefinition, source: KeySource): Message | undefined {
  const { metadata, options } = definition
  const id =
    keyOf(metadata, source.entityId) ??
    keyOf(metadata, source.entity) ??
    keyOf(metadata, source.databaseEntity)
  if (id === undefined) return undefined
  const entity = source.entity ?? source.databaseEntity
  if (options.payload === undefined || entity === undefined) return { id }
  return { id, payload: JSON.stringify(options.payload(entity)) }
}
