import { z } from 'zod'

import type { Partition } from '../streams/keys.ts'
import { runScript, type RedisClient } from '../streams/scripts.ts'

/** A document version, taken BEFORE its row is read, and the indices that it goes to. */
export interface Ticket {
  /** The version as text. */
  readonly version: string
  /** Write aliases of the indices that the entity was written to when the ticket was taken. */
  readonly targets: readonly string[]
  /** Milliseconds since it was taken. */
  readonly ageMs: () => number
}

const replySchema = z.tuple([z.string().regex(/^\d+$/)]).rest(z.string())

/** Whether a member of a list of targets is one, and not the mark of a reindex (`reindex/state.ts`). */
export function isTarget(member: string): boolean {
  // Elasticsearch allows no colon in the name of an index or alias.
  return !member.includes(':')
}

/**
 * Takes a ticket. Whoever reads rows after it cannot have missed a commit that was published before it; so of two
 * readers the one with the higher ticket is right, and a lower one never overwrites it.
 *
 * @param above - a version that the ticket must be above, for a counter that went backwards
 */
export async function takeTicket(redis: RedisClient, partition: Partition, above = '0'): Promise<Ticket> {
  const { ticket, targets } = partition.keys
  const [version, ...members] = replySchema.parse(
    await runScript(redis, 'ticket', [ticket, targets], [above]),
  )
  const wall = Date.now()
  const monotonic = performance.now()
  return {
    version,
    targets: members.filter(isTarget),
    // The monotonic clock stands still while a virtual machine is suspended, the wall clock may be set back.
    ageMs: () => Math.max(Date.now() - wall, performance.now() - monotonic),
  }
}
