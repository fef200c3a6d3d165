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

/** Most messages in a row of the outbox. */
export const messagesPerEntry = 500
/** Most characters in its body, unless one message is longer: the relay has some hundred rows in memory at once. */
export const charactersPerEntry = 256 * 1024

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
  const texts = messages.map((message) => JSON.stringify(message))
  return chunksOf(texts, messagesPerEntry, charactersPerEntry, ({ length }) => length).map((some) => ({
    kind: kindOfLane[lane],
    source: stream,
    body: `[${some.join(',')}]`,
  }))
}

/** Chunks of so many items at most, and of so much weight at most, unless one item alone is heavier. */
export function chunksOf<T>(
  items: readonly T[],
  mostItems: number,
  mostWeight: number,
  weightOf: (item: T) => number,
): T[][] {
  const chunks: T[][] = []
  let chunk: T[] = []
  let weight = 0
  for (const item of items) {
    const ofItem = weightOf(item)
    if (chunk.length === 0 || chunk.length === mostItems || weight + ofItem > mostWeight) {
      chunk = []
      chunks.push(chunk)
      weight = 0
    }
    chunk.push(item)
    weight += ofItem
  }
  return chunks
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
