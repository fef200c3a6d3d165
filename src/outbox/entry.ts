import { z } from 'zod'

import type { Lane } from '../streams/keys.ts'
import type { Message } from '../streams/message.ts'

/**
 * A row of the outbox. Which `kind` it is says how to read it:
 * - `messages`: `source` is the name of a stream, `body` a JSON array of messages for its main lane;
 * - `bulk`: the same for its bulk lane;
 * - `rows`: `source` is the path of a table, `body` what triggers wrote about its rows.
 */
export interface OutboxEntry {
  /** A whole number as text: it may be larger than a number of JavaScript can tell exactly. */
  readonly id: string
  readonly kind: string
  readonly source: string
  readonly body: string
}

/** A row of the outbox that is to be written. */
export type NewEntry = Omit<OutboxEntry, 'id'>

/** Most messages in a row of the outbox: the relay has some hundred rows in memory at once. */
export const messagesPerEntry = 500

const kindOfLane = { main: 'messages', bulk: 'bulk' } as const satisfies Record<Lane, string>

const messagesSchema: z.ZodType<Message[]> = z.array(
  z.object({
    id: z.string().min(1),
    payload: z.string().exactOptional(),
    before: z.array(z.string()).exactOptional(),
    places: z.array(z.string()).exactOptional(),
    derived: z.literal(true).exactOptional(),
  }),
)

/** The entries for messages of a stream. */
export function entriesFor(stream: string, lane: Lane, messages: readonly Message[]): NewEntry[] {
  const entries: NewEntry[] = []
  for (let start = 0; start < messages.length; start += messagesPerEntry) {
    const body = JSON.stringify(messages.slice(start, start + messagesPerEntry))
    entries.push({ kind: kindOfLane[lane], source: stream, body })
  }
  return entries
}

/** The lane of an entry that holds messages; undefined for other kinds. */
export function laneOf({ kind }: Pick<OutboxEntry, 'kind'>): Lane | undefined {
  if (kind === kindOfLane.main) return 'main'
  return kind === kindOfLane.bulk ? 'bulk' : undefined
}

/**
 * The messages of an entry that holds messages.
 *
 * @throws SyntaxError, or an error of zod, when the body cannot be read
 */
export function messagesIn({ body }: Pick<OutboxEntry, 'body'>): Message[] {
  return messagesSchema.parse(JSON.parse(body))
}
