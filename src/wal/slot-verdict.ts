import { formatLsn, parseLsn } from './lsn.ts'
import type { KnownSlot, Mark } from './log-notes.ts'
import type { SlotLook } from './slot.ts'

/** What is to be done about a slot. */
export type SlotVerdict =
  | { readonly kind: 'well' }
  /** There is none; whoever reads next makes one. */
  | { readonly kind: 'missing' }
  /** What it should have told is lost, or would cost too much: it is dropped, and the indices are to be verified. */
  | { readonly kind: 'given up'; readonly reason: string }
  /** Somebody else's. */
  | { readonly kind: 'foreign'; readonly reason: string }

export interface SlotLimits {
  readonly name: string
  readonly database: string
  /** Most bytes of log that the server may keep for it; 0: no limit. */
  readonly walMaxLag: number
}

/** Judges a slot by what the server and Redis say of it. */
export function judgeSlot(
  { current, slot }: SlotLook,
  known: KnownSlot | undefined,
  { name, database, walMaxLag }: SlotLimits,
): SlotVerdict {
  if (slot === undefined) return { kind: 'missing' }
  if (slot.plugin !== 'pgoutput' || slot.database !== database) {
    const whose = `plugin ${slot.plugin ?? 'none'}, database ${slot.database ?? 'none'}`
    return { kind: 'foreign', reason: `the replication slot "${name}" is not Redstream's (${whose})` }
  }
  if (slot.walStatus === 'lost')
    return {
      kind: 'given up',
      reason:
        'the server has removed log that the slot needed (max_slot_wal_keep_size), or has invalidated it',
    }
  if (known?.name === name && parseLsn(known.confirmed) > current)
    return {
      kind: 'given up',
      reason: `the database was restored: its log ends at ${formatLsn(current)}, and was read up to ${known.confirmed}`,
    }
  if (walMaxLag > 0 && slot.keptBytes > walMaxLag)
    return {
      kind: 'given up',
      reason: `the server had to keep ${slot.keptBytes} bytes of log for the slot, above the limit of ${walMaxLag} (setting walMaxLag)`,
    }
  return { kind: 'well' }
}

/** The mark after a look at a slot. */
export function nextMark(mark: Mark | undefined, { current, slot }: SlotLook, now: number): Mark {
  const lsn = formatLsn(current)
  const confirmed = slot?.confirmed ?? 0n
  if (confirmed >= current) return { lsn, at: now, reachedAt: now }
  // Another server, or the first look.
  if (mark === undefined || parseLsn(mark.lsn) > current) return { lsn, at: now, reachedAt: now }
  return confirmed >= parseLsn(mark.lsn) ? { lsn, at: now, reachedAt: mark.at } : mark
}

/** How far the reader of a slot is behind, in ms. */
export function lagMs(mark: Mark | undefined, look: SlotLook, now: number): number {
  return Math.max(0, Math.round(now - nextMark(mark, look, now).reachedAt))
}
