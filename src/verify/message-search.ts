import { lanes, type Lane, type Partition } from '../streams/keys.ts'
import { decodeMessages } from '../streams/message.ts'
import { parseEntries, readGroups, readHolder } from '../streams/replies.ts'
import type { RedisClient } from '../streams/scripts.ts'
import { compareStreamIds, streamIdMs, type StreamId } from '../streams/stream-id.ts'

/** A message that names a row. */
export interface FoundMessage {
  readonly stream: Lane | 'delay'
  /** The stream entry that it is in. */
  readonly entry: string
  /** When it was written, by Redis' clock, ISO 8601. */
  readonly at: string
  /**
   * `delayed`: its transaction is open, or its process died; `unread`: no consumer has read it yet; `in work`: one
   * has, and has not acknowledged it; `done`.
   */
  readonly state: 'delayed' | 'unread' | 'in work' | 'done'
  /** Who works on it. */
  readonly consumer?: string
  /** How often it was given to a consumer. */
  readonly deliveries?: number
}

/** The messages that name a row, newest first, and how much was looked at. */
export interface MessageSearch {
  readonly messages: readonly FoundMessage[]
  /** Entries that were read. */
  readonly entries: number
  /** False: streams are longer than was looked at, so older messages may name the row too. */
  readonly all: boolean
}

const pageSize = 1_000

/**
 * Looks for a row in the newest entries of its partition's streams.
 *
 * @param most - entries of each stream that are read
 */
export async function findMessages(
  redis: RedisClient,
  { keys }: Partition,
  group: string,
  id: string,
  most: number,
): Promise<MessageSearch> {
  // First where entries come from: one that is moved in between is seen twice rather than never.
  const delay = await newestNaming(redis, keys.delay, id, most)
  const messages: FoundMessage[] = delay.found.map((entry) => ({
    stream: 'delay',
    ...timed(entry),
    state: 'delayed',
  }))
  let { entries, all } = delay
  for (const lane of lanes) {
    const search = await newestNaming(redis, keys[lane], id, most)
    for (const entry of search.found)
      messages.push({ stream: lane, ...timed(entry), ...(await stateIn(redis, keys[lane], group, entry)) })
    entries += search.entries
    all &&= search.all
  }
  return { messages: messages.toSorted((a, b) => b.at.localeCompare(a.at)), entries, all }
}

function timed(entry: StreamId): { entry: string; at: string } {
  return { entry, at: new Date(streamIdMs(entry)).toISOString() }
}

async function newestNaming(
  redis: RedisClient,
  key: string,
  id: string,
  most: number,
): Promise<{ found: StreamId[]; entries: number; all: boolean }> {
  const found: StreamId[] = []
  let end = '+'
  for (let entries = 0; entries < most;) {
    const count = Math.min(pageSize, most - entries)
    const page = parseEntries(await redis.xrevrange(key, end, '-', 'COUNT', count))
    for (const entry of page)
      if (decodeMessages(entry.fields).some((message) => message.id === id)) found.push(entry.id)
    entries += page.length
    if (page.length < count) return { found, entries, all: true }
    end = `(${page.at(-1)!.id}`
  }
  return { found, entries: most, all: false }
}

async function stateIn(
  redis: RedisClient,
  key: string,
  name: string,
  entry: StreamId,
): Promise<Pick<FoundMessage, 'state' | 'consumer' | 'deliveries'>> {
  const group = (await readGroups(redis, key)).find((each) => each.name === name)
  if (group === undefined || compareStreamIds(entry, group.lastDelivered) > 0) return { state: 'unread' }
  const holder = await readHolder(redis, key, name, entry)
  if (holder === undefined) return { state: 'done' }
  return { state: 'in work', consumer: holder.consumer, deliveries: holder.deliveries }
}
