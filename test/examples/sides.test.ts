import { DataSource } from 'typeorm'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { compareSides } from '../../examples/cities/demo/comparison.ts'
import { documentsOf, rowsOf } from '../../examples/cities/demo/sides.ts'
import { City } from '../../examples/cities/entities/city.ts'
import { Country } from '../../examples/cities/entities/country.ts'
import { testSpace, type TestSpace } from '../support/services.ts'

// More than a page of both sides.
const rows = 5_003
const andorra = { code: 'AD', name: 'Andorra', region: 'Europe' }

let space: TestSpace
let dataSource: DataSource

beforeAll(async () => {
  space = await testSpace()
  dataSource = new DataSource({ ...space.dataSourceOptions([Country, City]), synchronize: true })
  await dataSource.initialize()
  await dataSource.manager.insert(Country, andorra)
  await dataSource.query(
    `INSERT INTO cities (name, lat, lng, admin1, admin2, country_code)
     SELECT 'City ' || n, 42.5 + n * 1e-5, 1.5, '03', '', 'AD' FROM generate_series(1, ${rows}) n`,
  )
})

afterAll(async () => {
  await dataSource.destroy()
  await space.dispose()
})

test('rows and documents are read page by page, and every kind of difference is found', async () => {
  const elasticsearch = space.elasticsearch()
  const index = `${space.indexPrefix}cities`
  const cities = await dataSource.manager.find(City, { order: { id: 'ASC' } })
  const operations = cities.flatMap(({ id, name, lat, lng, admin1, admin2, featured }) => [
    { index: { _index: index, _id: String(id) } },
    { id, name, location: { lat, lon: lng }, admin1, admin2, featured, country: andorra },
  ])
  const { errors } = await elasticsearch.bulk({ operations, refresh: true })
  expect(errors).toBe(false)
  const compared = () => compareSides(rowsOf(dataSource, space.schema), documentsOf(elasticsearch, index))
  expect(await compared()).toEqual({ rows, documents: rows, differences: 0, examples: [] })

  await elasticsearch.delete({ index, id: '7' })
  await elasticsearch.update({ index, id: '5002', doc: { location: { lon: 2 } } })
  await elasticsearch.update({ index, id: '5003', doc: { extra: true } })
  await elasticsearch.index({ index, id: '9999', document: { name: 'Atlantis' } })
  await elasticsearch.indices.refresh({ index })
  expect(await compared()).toEqual({
    rows,
    documents: rows,
    differences: 4,
    examples: [
      'city 7 has no document',
      'city 5002: location.lon is 1.5 in the row and 2 in the document',
      'city 5003: extra is missing in the row and true in the document',
      'document "9999" has no row',
    ],
  })
})
