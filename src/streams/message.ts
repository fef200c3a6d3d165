/**
 * The wire contract between the application and the consumers. An entry's fields are a sequence of messages: each
 * begins with the field `id`; the fields that follow, up to the next `id`, belong to it. Entries of the main and
 * bulk lanes hold one message each, so that groups acknowledge and repeat them singly; entries of the delay stream
 * hold those of one flush together, because most of them are deleted unread. These may begin with the field
 * `transaction`, which belongs to no message (`transaction.ts`).
 */

import { unknownPlace } from '../place.ts'
import type { TransactionText } from './transaction.ts'

/** A change of one row. */
export interface Message {
  /** The row's key, see `capture/row-key.ts`. */
  readonly id: string
  /** JSON text of the entity's `payload`, when it has one. */
  readonly payload?: string
  /**
   * Foreign keys that the row does not have any more, each set as JSON text: the documents that embedded it there can
   * no longer be found through the row. See `cascade/former-keys.ts`.
   */
  readonly before?: readonly string[]
  /** Where the row's document was before, as texts of `place.ts`, when an entity says itself where its documents are. */
  readonly places?: readonly string[]
  /** True when the row itself is as it was, and only what its document embeds has changed. */
  readonly derived?: true
}

/** The fields of one message, ready for XADD. */
export function encodeMessage({ id, payload, before, places, derived }: Message): string[] {
  const fields = ['id', id]
  if (payload !== undefined) fields.push('payload', payload)
  for (const keys of before ?? []) fields.push('before', keys)
  for (const place of places ?? []) fields.push('place', place)
  if (derived) fields.push('derived', '1')
  return fields
}

/** The fields of an entry of the delay stream. */
export function encodeDelayed(messages: readonly Message[], transaction?: TransactionText): string[] {
  const fields = transaction === undefined ? [] : ['transaction', transaction]
  for (const message of messages) fields.push(...encodeMessage(message))
  return fields
}

/** The fields of an entry without a message: a member has left with work in hand, which is free to be taken over. */
export function encodeLeave(member: string): string[] {
  return ['left', member]
}

export function isLeave(fields: readonly string[]): boolean {
  return fields[0] === 'left'
}

/** The messages of an entry. Fields that this version does not know are passed over, so that newer writers may add some. */
export function decodeMessages(fields: readonly string[]): Message[] {
  const messages: { id: string; payload?: string; before?: string[]; places?: string[]; derived?: true }[] =
    []
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i]
    const value = fields[i + 1] as string
    const message = messages.at(-1)
    if (name === 'id') messages.push({ id: value })
    else if (message === undefined) continue
    else if (name === 'payload') message.payload = value
    else if (name === 'before') (message.before ??= []).push(value)
    else if (name === 'place') (message.places ??= []).push(value)
    else if (name === 'derived') message.derived = true
  }
  return messages
}

/**
 * Two messages of one row as one: the later wins, except that a change of the row wins over one of what its document
 * embeds. The former foreign keys and places of both count: the row may have moved twice.
 */
export function mergeMessages(earlier: Message, later: Message): Message {
  const last = later.derived && !earlier.derived ? earlier : later
  const before = [...new Set([...(earlier.before ?? []), ...(later.before ?? [])])]
  const places =
    earlier.places === undefined && later.places === undefined
      ? []
      : [...new Set([...(earlier.places ?? [unknownPlace]), ...(later.places ?? [unknownPlace])])]
  return {
    ...last,
    ...(before.length === 0 ? {} : { before }),
    ...(places.length === 0 ? {} : { places }),
  }
}
