import type { estypes } from '@elastic/elasticsearch'

import type { Application } from '../stage.ts'

/** A document of the index, as the decorator of City makes it. */
export interface CityDocument {
  readonly id: number
  readonly name: string
  readonly location: { readonly lat: number; readonly lon: number }
  readonly country: { readonly code: string; readonly name: string; readonly region: string }
}

/** How many documents a search finds: those up to the last refresh, which is every second by default. */
export async function countDocuments(
  { elasticsearch, workspace }: Application,
  query: estypes.QueryDslQueryContainer = { match_all: {} },
): Promise<number> {
  const { count } = await elasticsearch.count({ index: workspace.index, query })
  return count
}

/** A document by its id, as it was written last; a search may not find that yet. */
export async function getDocument(
  { elasticsearch, workspace }: Application,
  id: number,
): Promise<CityDocument | undefined> {
  const { _source } = await elasticsearch.get<CityDocument>(
    { index: workspace.index, id: String(id) },
    { ignore: [404] },
  )
  return _source
}
