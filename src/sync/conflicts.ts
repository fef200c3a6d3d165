import type { Client } from '@elastic/elasticsearch'
import { z } from 'zod'

import type { TargetedOperation } from '../indexing/bulk-request.ts'

/** What a version conflict turns out to be. */
export type Conflict =
  /** A newer state is in the index, or a deleted document stays deleted: done. */
  | 'superseded'
  /** The stored version is above a ticket that was taken after it was read: the counter went backwards. */
  | 'counter-behind'
  /** A tombstone was in the way of a document; its version cannot be seen: read the row again, with a new ticket. */
  | 'tombstone'

/**
 * Decides what a 409 means. Stored versions come from the same counter, so one that was there before `freshTicket`
 * was taken must be below it; if it is not, the counter has lost its state and good writes would be taken for late
 * ones. Such a conflict must never count as success.
 *
 * @param stored - the version in the index, undefined when there is no document
 */
export function judgeConflict(
  operation: Pick<TargetedOperation, 'source'>,
  stored: number | undefined,
  freshTicket: string,
): Conflict {
  if (stored === undefined) return operation.source === undefined ? 'superseded' : 'tombstone'
  return stored > Number(freshTicket) ? 'counter-behind' : 'superseded'
}

const mgetSchema = z.object({
  docs: z.array(
    z.object({ _id: z.string(), _version: z.number().optional(), error: z.unknown().optional() }),
  ),
})

/** The versions that an index holds of some documents, in real time; those without a document are missing in the map. */
export async function storedVersions(
  client: Client,
  target: string,
  ids: readonly string[],
): Promise<Map<string, number>> {
  const { docs } = mgetSchema.parse(await client.mget({ index: target, ids: [...ids], _source: false }))
  const versions = new Map<string, number>()
  for (const { _id, _version, error } of docs) {
    if (error !== undefined) throw new Error(`Elasticsearch could not read document ${_id} of ${target}`)
    if (_version !== undefined) versions.set(_id, _version)
  }
  return versions
}
