import type { Lane } from '../streams/keys.ts'

/** Up to so many owners of one look are indexed like a change of their own. */
const few = 100

/**
 * The lane that owners go to. A tag added to a product is somebody's edit, and he wants to see it at once; a renamed
 * country must not hold up the edits of others. What came in the bulk lane stays there, however few owners it has: an
 * import of a million prices names a million products.
 */
export function laneOf(from: Lane, owners: number): Lane {
  return from === 'bulk' || owners > few ? 'bulk' : 'main'
}
