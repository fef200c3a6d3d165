import type { Client, estypes } from '@elastic/elasticsearch'
import { z } from 'zod'

import type { IndexDefinition } from '../indexed.ts'
import { keyBorneBy, keyField, type Place } from '../place.ts'
import { statusOf } from './elasticsearch-error.ts'

/** A document of an index, without its content. */
export interface FoundDocument {
  /** The row's key that it bears; undefined: none. */
  readonly key: string | undefined
  readonly place: Place
  readonly version: number
}

const pageSchema = z.object({
  pit_id: z.string().optional(),
  hits: z.object({
    hits: z.array(
      z.object({
        _id: z.string(),
        _routing: z.string().optional(),
        _version: z.number(),
        _source: z.record(z.string(), z.unknown()).optional(),
        sort: z.array(z.unknown()),
      }),
    ),
  }),
})

// Between two pages verify may wait for a long queue. It is closed at the end; only a process that is killed leaves it.
const keepAlive = '1h'
// Their ids are looked up in the table page by page.
const pageSize = 2_000

/**
 * Every document of a physical index as it is now, in pages, in the order in which the shards hold them: that order
 * costs nothing. By `_id` Elasticsearch sorts only with fielddata, in its memory, which is forbidden by default
 * (`indices.id_field_data.enabled`); and it is not the order of the table's keys anyway.
 */
export function allDocuments(
  client: Client,
  definition: IndexDefinition,
  physical: string,
): AsyncGenerator<FoundDocument[]> {
  return pages(client, definition, physical, { sort: ['_shard_doc'] }, Infinity)
}

/** Up to `most` documents in random order. */
export function randomDocuments(
  client: Client,
  definition: IndexDefinition,
  physical: string,
  most: number,
): AsyncGenerator<FoundDocument[]> {
  // With a seed, the scores of all pages belong together.
  const seed = Math.floor(Math.random() * 2 ** 31)
  const query: estypes.QueryDslQueryContainer = {
    function_score: { functions: [{ random_score: { seed, field: '_seq_no' } }] },
  }
  return pages(client, definition, physical, { query, sort: [{ _score: { order: 'desc' } }] }, most)
}

async function* pages(
  client: Client,
  definition: IndexDefinition,
  physical: string,
  search: { readonly query?: estypes.QueryDslQueryContainer; readonly sort: estypes.Sort },
  most: number,
): AsyncGenerator<FoundDocument[]> {
  await refresh(client, physical)
  let { id } = await client.openPointInTime({ index: physical, keep_alive: keepAlive })
  try {
    let after: unknown[] | undefined
    for (let left = most; left > 0;) {
      const answer = await client.search({
        ...search,
        pit: { id, keep_alive: keepAlive },
        size: Math.min(pageSize, left),
        version: true,
        _source: definition.options.id === undefined ? false : [keyField],
        track_total_hits: false,
        // A shard that fails must not look like one without documents.
        allow_partial_search_results: false,
        ...(after === undefined ? {} : { search_after: after as estypes.SortResults }),
      })
      const { pit_id, hits } = pageSchema.parse(answer)
      id = pit_id ?? id
      if (hits.hits.length > 0)
        yield hits.hits.map(({ _id: id, _routing: routing, _version: version, _source: source }) => ({
          key: keyBorneBy(definition, id, source),
          place: routing === undefined ? { id } : { id, routing },
          version,
        }))
      const last = hits.hits.at(-1)
      if (last === undefined || hits.hits.length < Math.min(pageSize, left)) return
      after = last.sort
      left -= hits.hits.length
    }
  } finally {
    // It would go by itself in the end.
    await client.closePointInTime({ id }).catch(() => undefined)
  }
}

/** Lets the search see what was written up to now; without the right to (`maintenance`), it sees the last refresh. */
async function refresh(client: Client, physical: string): Promise<void> {
  try {
    await client.indices.refresh({ index: physical })
  } catch (error) {
    if (statusOf(error) !== 403) throw error
  }
}
