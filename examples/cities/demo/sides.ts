import type { Client } from '@elastic/elasticsearch'
import { escapeIdentifier } from 'pg'
import type { DataSource } from 'typeorm'

import { flatten, type Item } from './comparison.ts'

const pageSize = 5_000

interface Row {
  readonly id: number
  readonly name: string
  readonly lat: number
  readonly lng: number
  readonly admin1: string
  readonly admin2: string
  readonly featured: boolean
  readonly country_code: string
  readonly country_name: string | null
  readonly country_region: string | null
}

/** Every row of the cities, by plain SQL, as the fields that its document must have. */
export async function* rowsOf(dataSource: DataSource, schemaName: string): AsyncGenerator<Item> {
  const schema = escapeIdentifier(schemaName)
  const sql = `
    SELECT city.id, city.name, city.lat, city.lng, city.admin1, city.admin2, city.featured, city.country_code,
      country.name AS country_name, country.region AS country_region
    FROM ${schema}.cities city LEFT JOIN ${schema}.countries country ON country.code = city.country_code
    WHERE city.id > $1 ORDER BY city.id LIMIT ${pageSize}`
  let last = 0
  for (;;) {
    const page: Row[] = await dataSource.query(sql, [last])
    for (const row of page) yield { id: row.id, fields: expectedFields(row) }
    if (page.length < pageSize) return
    last = page.at(-1)!.id
  }
}

/** What the document of a row must hold, and nothing else; on purpose not what the decorator of City makes of it. */
function expectedFields(row: Row): Item['fields'] {
  return {
    _id: String(row.id),
    id: row.id,
    name: row.name,
    'location.lat': row.lat,
    'location.lon': row.lng,
    admin1: row.admin1,
    admin2: row.admin2,
    featured: row.featured,
    'country.code': row.country_code,
    'country.name': row.country_name,
    'country.region': row.country_region,
  }
}

/** Every document of an index, as it was at the last refresh. */
export async function* documentsOf(elasticsearch: Client, index: string): AsyncGenerator<Item> {
  let { id: pit } = await elasticsearch.openPointInTime({ index, keep_alive: '1m' })
  try {
    let after: { search_after?: (string | number)[] } = {}
    for (;;) {
      const { hits, pit_id: newest } = await elasticsearch.search<{ id?: number }>({
        pit: { id: pit, keep_alive: '1m' },
        size: pageSize,
        sort: [{ id: 'asc' }],
        track_total_hits: false,
        ...after,
      })
      pit = newest ?? pit
      for (const { _id, _source } of hits.hits) {
        // A document without its id is sorted last and belongs to no row.
        yield { id: _source?.id ?? Infinity, fields: flatten({ _id, ..._source }) }
      }
      const last = hits.hits.at(-1)
      if (last === undefined || hits.hits.length < pageSize) return
      after = { search_after: last.sort as (string | number)[] }
    }
  } finally {
    await elasticsearch.closePointInTime({ id: pit })
  }
}
