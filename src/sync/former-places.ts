import type { Client, estypes } from '@elastic/elasticsearch'
import { z } from 'zod'

import type { IndexDefinition } from '../indexed.ts'
import type { Operation } from '../indexing/bulk-request.ts'
import { decodePlace, encodePlace, keyBorneBy, keyField, type Place } from '../place.ts'

/**
 * What a batch must delete, with its ticket, because its documents are elsewhere now or their rows are gone: only for
 * entities that say themselves where their documents are (`id`, `routing`).
 *
 * Two witnesses tell of former places. A message of `save` or `remove` names the one that the row had before: deleting
 * there, also when nothing is there, keeps a late write of an older ticket out. Elsewhere, and whenever a row has
 * moved, the index itself is asked, which knows what it was given up to now.
 *
 * @param told - places that messages name, by row key
 * @param operations - one for each row, with the place of its document unless the row is gone
 * @returns the deletes, then those of the operations that have a place: two places may be one document, if their
 * routing leads to the same shard
 */
export async function withFormerPlaces(
  client: Client,
  definition: IndexDefinition,
  targets: readonly string[],
  operations: readonly Operation[],
  told: ReadonlyMap<string, readonly string[]>,
): Promise<Operation[]> {
  const index = [...targets]
  const unsettled = operations.filter((operation) => !isSettled(operation, told.get(operation.id)))
  if (unsettled.length === 0) return [...operations]
  const ids = unsettled.map(({ id }) => id)
  const found = await findPlaces(client, definition, index, ids)
  const former = unsettled.flatMap((operation) => {
    const known = told.get(operation.id)?.flatMap((text) => decodePlace(text) ?? [])
    return formerPlaces(operation, [...(known ?? []), ...(found.get(operation.id) ?? [])])
  })
  const free = definition.options.id === undefined ? former : await ownedOnly(client, index, former)
  return [...free, ...operations.filter(({ place }) => place !== undefined)]
}

/** Whether it is known that the document of a row is nowhere else than where it is written now. */
export function isSettled({ place }: Operation, told: readonly string[] | undefined): boolean {
  if (place === undefined || told === undefined) return false
  const here = encodePlace(place)
  return told.every((text) => text === here)
}

/** Deletes of a row's documents in all places but that of the operation, each once. */
export function formerPlaces({ id, version, place }: Operation, places: readonly Place[]): Operation[] {
  const former = new Map(places.map((each) => [encodePlace(each), each]))
  if (place !== undefined) former.delete(encodePlace(place))
  return Array.from(former.values(), (each) => ({ id, version, place: each, source: undefined }))
}

const hitsSchema = z.object({
  hits: z.object({
    hits: z.array(
      z.object({
        _id: z.string(),
        _routing: z.string().optional(),
        _source: z.record(z.string(), z.unknown()).optional(),
      }),
    ),
  }),
})

// Elasticsearch returns at most 10,000 hits (`index.max_result_window`), and a row has few documents.
const keysPerSearch = 1_000
const mostHits = 10_000

/** Where indices hold documents of rows, as far as they bear the rows' keys. */
export async function findPlaces(
  client: Client,
  definition: IndexDefinition,
  index: string[],
  keys: readonly string[],
): Promise<Map<string, Place[]>> {
  // A search finds what was written before the last refresh.
  await client.indices.refresh({ index })
  const found = new Map<string, Place[]>()
  for (let start = 0; start < keys.length; start += keysPerSearch) {
    const values = keys.slice(start, start + keysPerSearch)
    const query: estypes.QueryDslQueryContainer =
      definition.options.id === undefined ? { ids: { values } } : { terms: { [keyField]: values } }
    const answer = await client.search({ index, query, size: mostHits, _source: [keyField] })
    for (const { _id: id, _routing: routing, _source: source } of hitsSchema.parse(answer).hits.hits) {
      const key = keyBorneBy(definition, id, source)
      if (key === undefined) continue
      found.set(key, [...(found.get(key) ?? []), routing === undefined ? { id } : { id, routing }])
    }
  }
  return found
}

const docsSchema = z.object({
  docs: z.array(z.object({ _source: z.object({ [keyField]: z.string().optional() }).optional() })),
})

/** Without the deletes in places where another row has its document now: an `id` may pass from row to row. */
async function ownedOnly(
  client: Client,
  targets: string[],
  deletes: readonly Operation[],
): Promise<Operation[]> {
  if (deletes.length === 0) return []
  const taken = new Set<Operation>()
  for (const index of targets) {
    const docs = deletes.map(({ id, place: { id: _id, routing } = { id } }) =>
      routing === undefined ? { _id } : { _id, routing },
    )
    const answer = docsSchema.parse(await client.mget({ index, docs, _source: [keyField] }))
    deletes.forEach((operation, i) => {
      const holder = answer.docs[i]?._source?.[keyField]
      if (holder !== undefined && holder !== operation.id) taken.add(operation)
    })
  }
  return deletes.filter((operation) => !taken.has(operation))
}
