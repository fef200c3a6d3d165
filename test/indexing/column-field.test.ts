import { expect, test } from 'vitest'

import { columnField, type ColumnShape } from '../../src/indexing/column-field.ts'

const text = { type: 'text', fields: { keyword: { type: 'keyword', ignore_above: 256 } } }
const decimalKeyword = {
  type: 'keyword',
  ignore_above: 8191,
  fields: { number: { type: 'double', ignore_malformed: true } },
}
const opaque = { type: 'object', enabled: false }

// What PostgreSQL's own types become is shown with real rows in mapping.test.ts.
test.each<[string, ColumnShape, object]>([
  ['postgres', { type: 'citext' }, text],
  ['postgres', { type: 'hstore' }, text],
  ['postgres', { type: 'hstore', hstoreType: 'object' }, { type: 'object', dynamic: true }],
  ['postgres', { type: 'cube' }, { type: 'double' }],
  ['postgres', { type: 'vector' }, opaque],
  ['postgres', { type: 'numeric', precision: 15, scale: 15 }, { type: 'double' }],
  ['postgres', { type: 'numeric', precision: 16, scale: 2 }, decimalKeyword],
  ['postgres', { type: 'numeric', precision: 18 }, { type: 'long' }],
  ['postgres', { type: 'numeric', precision: 18, scale: -1 }, decimalKeyword],
  ['postgres', { type: 'numeric', precision: 19 }, decimalKeyword],
  ['postgres', { type: 'decimal' }, decimalKeyword],
  ['postgres', { type: 'numeric', isArray: true }, { type: 'double' }],
  ['postgres', { type: 'geography', spatialFeatureType: 'Point' }, { type: 'geo_point' }],
  ['postgres', { type: 'geometry', spatialFeatureType: 'Point', srid: 4326 }, { type: 'geo_point' }],
  ['postgres', { type: 'geometry', spatialFeatureType: 'Point', srid: 3857 }, opaque],
  ['postgres', { type: 'geometry', spatialFeatureType: 'Polygon' }, opaque],
  ['mysql', { type: Number }, { type: 'integer' }],
  ['mysql', { type: 'int', unsigned: true }, { type: 'long' }],
  ['mysql', { type: 'smallint', unsigned: true }, { type: 'integer' }],
  ['mysql', { type: 'tinyint', unsigned: true }, { type: 'short' }],
  ['mysql', { type: 'bigint', unsigned: true }, { type: 'long' }],
  ['mysql', { type: Boolean }, { type: 'boolean' }],
  ['mysql', { type: 'float' }, { type: 'float' }],
  ['mysql', { type: 'decimal' }, { type: 'long' }],
  ['mysql', { type: 'decimal', precision: 10, scale: 2 }, { type: 'double' }],
  ['mysql', { type: 'set' }, { type: 'keyword' }],
  ['mysql', { type: 'year' }, { type: 'short' }],
  ['mysql', { type: 'bit' }, { type: 'binary' }],
  ['mysql', { type: 'point' }, { type: 'geo_point' }],
  ['mysql', { type: 'polygon' }, opaque],
  ['mysql', { type: 'longtext' }, text],
  ['better-sqlite3', { type: Number }, { type: 'long' }],
  ['better-sqlite3', { type: 'tinyint' }, { type: 'long' }],
  ['better-sqlite3', { type: 'decimal', precision: 30, scale: 2 }, { type: 'double' }],
  ['better-sqlite3', { type: 'blob' }, { type: 'binary' }],
  ['better-sqlite3', { type: 'varchar' }, text],
  ['cockroachdb', { type: 'int4' }, { type: 'long' }],
])('%s: %o', (driver, column, field) => {
  expect(columnField(column, driver)).toEqual(field)
})
