/** What the calls for all rows that match have in common. */

import type { EntityManager, EntityMetadata, ObjectLiteral } from 'typeorm'

import type { StreamDefinition } from '../indexed.ts'
import type { Message } from '../streams/message.ts'
import type { DelayEntry } from '../streams/stream-writer.ts'
import type { RowProgress } from './exact-writes.ts'

/** An id (a scalar, or a map for composite keys), or an entity that has one. */
export type EntityOrId<E extends ObjectLiteral> = E | Partial<E> | string | number | bigint

export interface BulkOptions {
  /**
   * The manager whose rows are looked at. Default: one of the primary database. Pass that of the open transaction when the
   * pool has no second connection, or when rows matter that only this transaction sees.
   */
  manager?: EntityManager
}

/** How far a `bulk` call has come. */
export interface BulkProgress extends RowProgress {
  /** `delay`: rows are noted before they are changed; `queue`: rows that match after that are queued. */
  readonly step: 'delay' | 'queue'
}

/** Options of calls that go over all rows that match. */
export interface MatchingOptions extends BulkOptions {
  /** Called after each page of up to 1,000 rows. An error that it throws ends the call. */
  onProgress?: (progress: BulkProgress) => void
}

/** The delay messages that {@link Producer.bulkDelay} wrote, for {@link Producer.bulkQueue} to take away again. */
export interface Delayed {
  /** Number of rows. */
  readonly rows: number
  /** For each index of the entity. @internal */
  readonly entries: ReadonlyMap<StreamDefinition, readonly DelayEntry[]>
  /** The rows' keys, as far as they are remembered. @internal */
  readonly keys: ReadonlySet<string>
}

/** An entity, and those of the streams that tell of its rows. */
export interface Scope {
  readonly metadata: EntityMetadata
  readonly definitions: readonly StreamDefinition[]
}

export function messagesOf(keys: Iterable<string>): Message[] {
  return Array.from(keys, (id) => ({ id }))
}
