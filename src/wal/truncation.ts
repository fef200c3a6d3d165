import type { Client } from '@elastic/elasticsearch'
import type { DataSource } from 'typeorm'

import { matchingKeys } from '../capture/key-pages.ts'
import type { WatchedTable } from '../capture/watched-table.ts'
import type { IndexDefinition, StreamDefinition } from '../indexed.ts'
import { allDocuments } from '../indexing/document-pages.ts'
import { currentTargets } from '../indexing/index-schema.ts'
import { encodePlace, isMovable } from '../place.ts'
import { lanes, type Partition } from '../streams/keys.ts'
import { decodeMessages, type Message } from '../streams/message.ts'
import { parseEntries } from '../streams/replies.ts'
import type { RedisClient } from '../streams/scripts.ts'
import type { Source } from '../sync/sources.ts'
import { isTarget } from '../sync/ticket.ts'

export interface TruncationOptions {
  readonly dataSource: DataSource
  readonly redis: RedisClient
  readonly client: Client
  readonly sources: readonly Source[]
}

/** Messages of one stream. */
export interface Page {
  readonly definition: StreamDefinition
  readonly messages: Message[]
}

const entriesPerPage = 1_000

/**
 * Everything that a TRUNCATE may have changed, page by page; the log names the table alone.
 *
 * - The documents of its own rows: those that are in the indices, and those that messages in the lanes still lead to. The
 *   messages are read first: a consumer that has read a row before the TRUNCATE has its message in the lane until its
 *   document is in the index, so one of the two looks finds it.
 * - The documents that held its rows: those of all owners.
 */
export async function* truncationPages(
  table: WatchedTable,
  options: TruncationOptions,
): AsyncGenerator<Page> {
  const ofTable = options.sources.filter(
    ({ definition }) => definition.metadata.tablePath === table.metadata.tablePath,
  )
  for (const { definition, index, partitions, paths } of ofTable) {
    for await (const messages of waitingMessages(options.redis, partitions)) yield { definition, messages }
    if (index !== undefined) yield* ownDocuments(index, partitions, options)
    for (const owner of new Set(paths.map((path) => path.owner))) {
      for await (const keys of matchingKeys(options.dataSource, undefined, owner, {}))
        yield { definition: owner, messages: keys.map((id) => ({ id, derived: true })) }
    }
  }
}

async function* waitingMessages(
  redis: RedisClient,
  partitions: readonly Partition[],
): AsyncGenerator<Message[]> {
  for (const { keys } of partitions) {
    for (const lane of lanes) {
      // What is added later is read after the TRUNCATE.
      const [newest] = parseEntries(await redis.xrevrange(keys[lane], '+', '-', 'COUNT', 1))
      if (newest === undefined) continue
      for (let start = '-'; ;) {
        const page = parseEntries(await redis.xrange(keys[lane], start, newest.id, 'COUNT', entriesPerPage))
        const messages = page.flatMap(({ fields }) => decodeMessages(fields))
        if (messages.length > 0) yield messages
        const last = page.at(-1)
        if (last === undefined || page.length < entriesPerPage) break
        start = `(${last.id}`
      }
    }
  }
}

async function* ownDocuments(
  definition: IndexDefinition,
  partitions: readonly Partition[],
  { redis, client }: TruncationOptions,
): AsyncGenerator<Page> {
  const listed = await Promise.all(partitions.map(({ keys }) => redis.smembers(keys.targets)))
  const known = new Set(listed.flat().filter(isTarget))
  const targets = known.size === 0 ? await currentTargets(client, definition) : known
  const movable = isMovable(definition)
  for (const target of targets) {
    for await (const page of allDocuments(client, definition, target)) {
      const messages = page.flatMap(({ key: id, place }): Message[] => {
        if (id === undefined) return []
        return [movable ? { id, places: [encodePlace(place)] } : { id }]
      })
      if (messages.length > 0) yield { definition, messages }
    }
  }
}
