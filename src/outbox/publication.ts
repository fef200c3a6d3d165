import type { StreamDefinition } from '../indexed.ts'
import { lanes, type Lane } from '../streams/keys.ts'
import type { Message } from '../streams/message.ts'
import type { OutboxEntry } from './entry.ts'
import type { EntryMessages } from './entry-reader.ts'

/** What is to be done with some entries of the outbox. */
export interface Publication {
  /** What to publish, by stream and lane. */
  readonly messages: ReadonlyMap<StreamDefinition, Readonly<Record<Lane, readonly Message[]>>>
  /** The streams that each entry goes to. */
  readonly streams: ReadonlyMap<OutboxEntry, readonly StreamDefinition[]>
  /** Entries that cannot be read, and why. */
  readonly unreadable: ReadonlyMap<OutboxEntry, string>
}

/**
 * Puts together what entries of the outbox say.
 *
 * @param read - the messages of an entry; throws when it cannot be read
 * @param mostInMainLane - where the writer has not said which lane, more messages of a stream than this go to the bulk lane
 */
export function planPublication(
  entries: readonly OutboxEntry[],
  read: (entry: OutboxEntry) => EntryMessages,
  mostInMainLane: number,
): Publication {
  const unreadable = new Map<OutboxEntry, string>()
  const streams = new Map<OutboxEntry, readonly StreamDefinition[]>()
  const messages = new Map<StreamDefinition, Record<Lane, Message[]>>()
  const undecided = new Map<StreamDefinition, Message[]>()
  for (const entry of entries) {
    let found: EntryMessages
    try {
      found = read(entry)
    } catch (error) {
      unreadable.set(entry, error instanceof Error ? error.message : String(error))
      continue
    }
    streams.set(entry, [...found.byStream.keys()])
    for (const [definition, ofStream] of found.byStream) {
      const byLane = messages.get(definition) ?? { main: [], bulk: [] }
      messages.set(definition, byLane)
      if (found.lane !== undefined) append(byLane[found.lane], ofStream)
      else undecided.set(definition, append(undecided.get(definition) ?? [], ofStream))
    }
  }
  for (const [definition, ofStream] of undecided) {
    append(messages.get(definition)![ofStream.length > mostInMainLane ? 'bulk' : 'main'], ofStream)
  }
  return { messages, streams, unreadable }
}

/** Every part of a publication that has messages. */
export function* partsOf({ messages }: Pick<Publication, 'messages'>): Generator<{
  definition: StreamDefinition
  lane: Lane
  messages: readonly Message[]
}> {
  for (const [definition, byLane] of messages) {
    for (const lane of lanes) {
      if (byLane[lane].length > 0) yield { definition, lane, messages: byLane[lane] }
    }
  }
}

/** Not by `push(...)`: a call takes some 100,000 arguments at most. */
function append<T>(to: T[], items: readonly T[]): T[] {
  for (const item of items) to.push(item)
  return to
}
