import type { RowKey } from '../capture/row-key.ts'
import type { IndexDefinition } from '../indexed.ts'
import type { FoundDocument } from '../indexing/document-pages.ts'
import { encodePlace, isMovable, placeOf, type Place } from '../place.ts'
import { loadRows } from '../sync/document-loader.ts'
import { findPlaces } from '../sync/former-places.ts'
import type { IndexSite } from '../sync/site.ts'
import { knownKeys } from './known-keys.ts'
import type { Spot } from './look.ts'

type Rows = Pick<IndexSite, 'definition' | 'dataSource'>

/**
 * Where some rows have their documents. Where documents move (`id`, `routing`), the rows are read, and those that are
 * gone or cannot say it are left out; elsewhere it is their keys, whether there are such rows or not.
 */
export async function homesOf(
  { definition, dataSource }: Rows,
  keys: Iterable<RowKey>,
): Promise<Map<RowKey, Place>> {
  if (!isMovable(definition)) return new Map(Array.from(keys, (key) => [key, { id: key }]))
  const { rows } = await loadRows(definition, keys, dataSource)
  return new Map(
    [...rows].flatMap(([key, row]) => {
      const place = homeOf(definition, key, row)
      return place === undefined ? [] : [[key, place] as const]
    }),
  )
}

/** Where a row has its document; undefined when it cannot say, or is gone. */
export function homeOf(definition: IndexDefinition, key: RowKey, row: object | undefined): Place | undefined {
  if (!isMovable(definition)) return { id: key }
  if (row === undefined) return undefined
  try {
    return placeOf(definition, key, row)
  } catch {
    // Indexing says why, and makes a dead letter of it.
    return undefined
  }
}

/**
 * Documents of a page that are not where their rows have them: strangers, and what rows left behind. With them, the
 * keys that have rows.
 */
export async function straysOf(
  site: Rows,
  page: readonly FoundDocument[],
): Promise<{ strays: Spot[]; rows: RowKey[] }> {
  const borne = page.map(({ key, place }) => ({ key: key ?? place.id, place, isBorne: key !== undefined }))
  const keys = borne.map(({ key }) => key)
  const known = await knownKeys(site.definition, keys, site.dataSource)
  const homes = await homesOf(site, known.rows)
  const isAtHome = ({ key, place }: { key: RowKey; place: Place }): boolean => {
    const home = homes.get(key)
    return home !== undefined && encodePlace(home) === encodePlace(place)
  }
  return {
    strays: borne
      .filter((document) => !isAtHome(document))
      .map(({ key, place, isBorne }) => ({ key, place, isKey: isBorne && !known.impossible.has(key) })),
    rows: keys.filter((key) => known.rows.has(key)),
  }
}

/**
 * Everything that bears some keys: the rows, and documents that they may have left behind. Those are looked for where
 * documents move; elsewhere there is one place for each key.
 */
export async function spotsOf(site: IndexSite, physical: string, keys: readonly RowKey[]): Promise<Spot[]> {
  const { definition, dataSource, client } = site
  const { impossible } = await knownKeys(definition, keys, dataSource)
  const found = isMovable(definition)
    ? await findPlaces(client, definition, [physical], keys)
    : new Map<RowKey, Place[]>()
  return keys.flatMap((key) => {
    const isKey = !impossible.has(key)
    const strays = found.get(key)?.map((place) => ({ key, place, isKey })) ?? []
    return [{ key, isKey }, ...strays]
  })
}
