/**
 * The wire contract between the application and the consumers. An entry's fields are a sequence of messages: each
 * begins with the field `id`; the fields that follow, up to the next `id`, belong to it. Entries of the main and
 * bulk lanes hold one message each, so that groups acknowledge and repeat them singly; entries of the delay stream
 * hold those of one flush together, because most of them are deleted unread.
 */

/** A change of one row. */
export interface Message {
  /** The row's key, see `capture/row-key.ts`. */
  readonly id: string
  /** JSON text of the entity's `payload`, when it has one. */
  readonly payload?: string
}

/** The fields of one message, ready for XADD. */
export function encodeMessage(message: Message): string[] {
  return message.payload === undefined ? ['id', message.id] : ['id', message.id, 'payload', message.payload]
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
  const messages: { id: string; payload?: string }[] = []
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i]
    const value = fields[i + 1] as string
    if (name === 'id') messages.push({ id: value })
    else if (name === 'payload' && messages.length > 0) messages[messages.length - 1]!.payload = value
  }
  return messages
}
