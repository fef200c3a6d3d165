import type { Client } from '@elastic/elasticsearch'
import { z } from 'zod'

import type { TargetedOperation } from '../indexing/bulk-request.ts'
import type { Place } from '../place.ts'
import type { Events } from '../runtime/events.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Partition } from '../streams/keys.ts'
import type { RedisClient } from '../streams/scripts.ts'
import { takeTicket } from './ticket.ts'

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
  docs: z.array(z.object({ _version: z.number().optional(), error: z.unknown().optional() })),
})

/** The versions that an index holds of the documents of some operations, in their order; undefined where there is none. */
export async function storedVersions(
  client: Client,
  target: string,
  operations: readonly Pick<TargetedOperation, 'id' | 'place'>[],
): Promise<(number | undefined)[]> {
  const docs = operations.map(({ id, place = { id } }) => ({ _id: place.id, ...routingOf(place) }))
  const answer = mgetSchema.parse(await client.mget({ index: target, docs, _source: false }))
  return answer.docs.map(({ _version, error }, i) => {
    if (error === undefined) return _version
    throw new Error(`Elasticsearch could not read document ${docs[i]?._id} of ${target}`)
  })
}

function routingOf({ routing }: Place): { routing?: string } {
  return routing === undefined ? {} : { routing }
}

/** Where conflicts are looked into. */
export interface ConflictSite {
  readonly redis: RedisClient
  readonly client: Client
  readonly partition: Partition
  readonly events?: Events | undefined
  readonly logger: Logger
}

/** Looks into version conflicts; returns the ids to try again. A counter that went backwards is raised. */
export async function retryOfConflicts(
  { redis, client, partition, events, logger }: ConflictSite,
  conflicts: readonly TargetedOperation[],
): Promise<string[]> {
  if (conflicts.length === 0) return []
  const looks: { operation: TargetedOperation; stored: number | undefined }[] = []
  for (const [target, operations] of Map.groupBy(conflicts, (operation) => operation.target)) {
    const versions = await storedVersions(client, target, operations)
    operations.forEach((operation, i) => looks.push({ operation, stored: versions[i] }))
  }
  // After the look: a version that somebody wrote while it was under way must be below it too.
  const fresh = await takeTicket(redis, partition)
  const retry: string[] = []
  let highest: number | undefined
  for (const { operation, stored } of looks) {
    const conflict = judgeConflict(operation, stored, fresh.version)
    if (conflict !== 'superseded') retry.push(operation.id)
    if (conflict === 'counter-behind') highest = Math.max(highest ?? 0, stored ?? 0)
  }
  const { stream, number } = partition
  const superseded = conflicts.length - retry.length
  if (superseded > 0)
    logger.debug({ stream, documents: superseded }, 'a newer state was there already, so this one is dropped')
  if (retry.length > 0)
    logger.debug({ stream, documents: retry.length }, 'version conflicts; these rows are read again')
  if (highest !== undefined) {
    await takeTicket(redis, partition, BigInt(highest).toString())
    events?.tell('counterRaised', { stream, partition: number })
    logger.error(
      { stream, partition: number, stored: highest, ticket: fresh.version },
      'the ticket counter was behind the versions in the index (did Redis lose data, or is its clock wrong?); ' +
        'it is raised, and the documents are written again',
    )
  }
  return retry
}
