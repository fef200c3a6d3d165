import type { estypes } from '@elastic/elasticsearch'

import type { Application } from '../stage.ts'
import type { CityDocument } from './documents.ts'

const vienna = { lat: 48.2082, lon: 16.3738 }

/** What it is all for: three questions that a database is not made for. */
export async function search(application: Application): Promise<void> {
  const { screen } = application
  screen.step(
    'Search',
    'Three questions to Elasticsearch that a relational database is not made for: a full-text search, a search by ' +
      'distance, and a count by country, whose name is part of every city document.',
  )
  await fullText(application)
  await nearby(application)
  await byCountry(application)
}

async function fullText(application: Application): Promise<void> {
  const { hits, took, total } = await find(application, {
    query: { match: { name: { query: 'santa cruz island', fuzziness: 'AUTO' } } },
  })
  application.screen.line(
    `Cities with names like "santa cruz island" (${total} in ${took} ms), the best five:`,
  )
  application.screen.table(
    ['city', 'country', 'score'],
    hits.map(({ _source: city, _score }) => [city!.name, city!.country.name, (_score ?? 0).toFixed(2)]),
  )
}

async function nearby(application: Application): Promise<void> {
  const { hits, took, total } = await find(application, {
    query: { geo_distance: { distance: '50km', location: vienna } },
    sort: [{ _geo_distance: { location: vienna, unit: 'km' } }],
  })
  application.screen.line(`Cities within 50 km of Vienna (${total} in ${took} ms), the nearest five:`)
  application.screen.table(
    ['city', 'country', 'km'],
    hits.map(({ _source: city, sort }) => [city!.name, city!.country.name, Number(sort?.[0]).toFixed(1)]),
  )
}

async function byCountry({ elasticsearch, workspace, screen }: Application): Promise<void> {
  const { aggregations, took } = await elasticsearch.search<
    unknown,
    { countries: estypes.AggregationsStringTermsAggregate }
  >({
    index: workspace.index,
    size: 0,
    aggs: { countries: { terms: { field: 'country.name.keyword', size: 5 } } },
  })
  const buckets = aggregations?.countries.buckets as estypes.AggregationsStringTermsBucketKeys[]
  screen.line(`Countries by number of cities (${took} ms), the first five:`)
  screen.table(
    ['country', 'cities'],
    buckets.map(({ key, doc_count: count }) => [String(key), count]),
  )
}

async function find({ elasticsearch, workspace }: Application, request: estypes.SearchRequest) {
  const { hits, took } = await elasticsearch.search<CityDocument>({
    index: workspace.index,
    size: 5,
    track_total_hits: true,
    ...request,
  })
  const total = (hits.total as estypes.SearchTotalHits).value
  return { hits: hits.hits, took, total: total.toLocaleString('en-US') }
}
