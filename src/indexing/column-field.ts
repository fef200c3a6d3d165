import type { EntityMetadata } from 'typeorm'

type ColumnMetadata = EntityMetadata['columns'][number]

/** One field of an Elasticsearch mapping. */
export type Field = Record<string, unknown>

/** What of a column decides about its field. */
export type ColumnShape = Pick<ColumnMetadata, 'type'> &
  Partial<
    Pick<
      ColumnMetadata,
      'isArray' | 'precision' | 'scale' | 'unsigned' | 'hstoreType' | 'spatialFeatureType' | 'srid'
    >
  >

const text: Field = { type: 'text', fields: { keyword: { type: 'keyword', ignore_above: 256 } } }
const keyword: Field = { type: 'keyword' }
// A keyword of more than 32,766 bytes would make a dead letter of the whole document; a character has at most 4.
const longKeyword: Field = { type: 'keyword', ignore_above: 8191 }
const object: Field = { type: 'object', dynamic: true }
// Kept in _source, not searchable: what no field type of the plain server can hold.
const opaque: Field = { type: 'object', enabled: false }
const numbers = (...names: string[]): Field => ({
  type: 'object',
  properties: Object.fromEntries(names.map((name) => [name, { type: 'double' }])),
})

// JSON of a Date has a sign and six digits outside the years 0 to 9999, which Elasticsearch's own default refuses;
// the usual "for ever", the last second of 9999, is such a date in every time zone west of Greenwich.
const dateTime: Field = {
  type: 'date',
  format:
    "strict_date_optional_time||'+'uuuuuu-MM-dd'T'HH:mm:ss.SSSX||uuuuuu-MM-dd'T'HH:mm:ss.SSSX||epoch_millis",
}

const fields: [Field, string[]][] = [
  [{ type: 'short' }, ['int2', 'smallint', 'tinyint', 'year']],
  [{ type: 'integer' }, ['int', 'int4', 'integer', 'mediumint']],
  // A bigint is a string in JavaScript; Elasticsearch reads its digits exactly.
  // MySQL's unsigned ones too, whose upper half (never reached by a counter) would need a module of its own.
  [{ type: 'long' }, ['int8', 'bigint', 'int64', 'unsigned big int']],
  [{ type: 'float' }, ['float4']],
  [{ type: 'double' }, ['float8', 'float64', 'float', 'real', 'double', 'double precision', 'cube']],
  [{ type: 'boolean' }, ['bool', 'boolean']],
  [{ type: 'date' }, ['date']],
  [
    dateTime,
    [
      'timestamp',
      'timestamptz',
      'timestamp without time zone',
      'timestamp with time zone',
      'timestamp with local time zone',
      'datetime',
      'datetime2',
      'datetimeoffset',
      'smalldatetime',
      'seconddate',
    ],
  ],
  [keyword, ['uuid', 'uniqueidentifier', 'enum', 'simple-enum', 'set', 'money', 'smallmoney']],
  [keyword, ['time', 'timetz', 'time without time zone', 'time with time zone']],
  // Not `ip`: an inet may hold a whole network (10.0.0.0/8), which that type refuses.
  [keyword, ['inet', 'inet4', 'inet6', 'cidr', 'macaddr', 'macaddr8']],
  [longKeyword, ['bit', 'varbit', 'bit varying', 'ltree', 'jsonpath', 'interval']],
  [longKeyword, ['int4range', 'int8range', 'numrange', 'tsrange', 'tstzrange', 'daterange']],
  [longKeyword, ['int4multirange', 'int8multirange', 'nummultirange', 'tsmultirange', 'tstzmultirange']],
  [longKeyword, ['datemultirange', 'line', 'lseg', 'box', 'path', 'tsquery']],
  [{ type: 'text' }, ['tsvector']],
  [object, ['json', 'jsonb', 'simple-json']],
  [
    { type: 'binary' },
    ['bytea', 'bytes', 'blob', 'tinyblob', 'mediumblob', 'longblob', 'binary', 'varbinary'],
  ],
  [{ type: 'binary' }, ['image', 'raw', 'long raw', 'rowversion']],
  // How a vector is searched (dimensions, similarity) is the user's choice; as numbers it would only cost space.
  [opaque, ['vector', 'halfvec']],
  [opaque, ['linestring', 'multipoint', 'multilinestring', 'multipolygon', 'geometrycollection', 'polygon']],
]

const fieldOfType = new Map(fields.flatMap(([field, types]) => types.map((type) => [type, field] as const)))
const constructorTypes = new Map<unknown, string>([
  [String, 'varchar'],
  [Number, 'integer'],
  [Boolean, 'boolean'],
  [Date, 'datetime'],
])

/**
 * The field for what a column holds once TypeORM has loaded it. Strings and unknown types are text with a keyword
 * part; arrays, which Elasticsearch has no type for, are their element.
 *
 * Only field types of the plain server are used: `scaled_float`, `unsigned_long` and `geo_shape` live in modules that a
 * slimmed-down Elasticsearch lacks, so they are for the user's own `mappings`.
 *
 * @param driver the DataSource's type (`postgres`, `mysql`, `better-sqlite3`, …)
 */
export function columnField(column: ColumnShape, driver: string): Field {
  const type = constructorTypes.get(column.type) ?? String(column.type)
  if (decimalTypes.has(type)) return decimalField(column, driver)
  if (geoTypes.has(type)) return geoField(column)
  return dialectField(type, column, driver) ?? fieldOfType.get(type) ?? text
}

const decimalTypes = new Set(['numeric', 'decimal', 'dec', 'fixed', 'smalldecimal', 'number'])
const geoTypes = new Set(['geometry', 'geography', 'st_point', 'st_geometry'])

/**
 * TypeORM gives a decimal as the string of its digits. Where a long or a double holds each of them exactly (18 digits
 * without a fraction, 15 significant ones with it: IEEE 754 gives 15 decimal digits back unchanged) it is that number.
 * Beyond it, or without a declared precision, it is a keyword, which finds the value exactly as the database gives it,
 * with a double under `.number` for ranges and sorting.
 */
function decimalField(column: ColumnShape, driver: string): Field {
  // SQLite keeps decimals as doubles, and pg parses numeric[] into them.
  if (isSqlite(driver) || column.isArray) return { type: 'double' }
  // MySQL and MariaDB: DECIMAL is DECIMAL(10, 0). PostgreSQL: without a precision any number of digits.
  const precision = column.precision ?? (isMysql(driver) ? 10 : undefined)
  const scale = column.scale ?? 0
  if (precision !== undefined && scale <= 0 && precision - scale <= 18) return { type: 'long' }
  if (precision !== undefined && precision <= 15) return { type: 'double' }
  // PostgreSQL's NaN and Infinity, and what exceeds a double, stay findable as keywords.
  return { ...longKeyword, fields: { number: { type: 'double', ignore_malformed: true } } }
}

/** PostGIS gives GeoJSON, MySQL WKT; geo_point reads both. */
function geoField(column: ColumnShape): Field {
  const isPoint = column.spatialFeatureType?.toLowerCase() === 'point'
  // Another reference system than WGS 84 has metres where geo_point wants degrees. SRID 0 is "not said".
  const isLonLat = column.type === 'geography' || !column.srid || column.srid === 4326
  return isPoint && isLonLat ? { type: 'geo_point' } : opaque
}

/** Types that mean something else, or are loaded as something else, on some drivers. */
function dialectField(type: string, column: ColumnShape, driver: string): Field | undefined {
  if (isPostgres(driver)) {
    // The pg driver parses these into objects.
    if (type === 'interval')
      return numbers('years', 'months', 'days', 'hours', 'minutes', 'seconds', 'milliseconds')
    if (type === 'point') return numbers('x', 'y')
    if (type === 'circle') return numbers('x', 'y', 'radius')
    if (type === 'hstore') return column.hstoreType === 'object' ? object : text
    if (type === 'polygon') return longKeyword
    if (type === 'real') return { type: 'float' }
  }
  if (isMysql(driver)) {
    if (type === 'point') return geoField({ ...column, spatialFeatureType: 'point' })
    if (type === 'bit') return { type: 'binary' }
    if (type === 'float') return { type: 'float' }
    if (type === 'int' || type === 'integer') return { type: column.unsigned ? 'long' : 'integer' }
    if (type === 'smallint') return { type: column.unsigned ? 'integer' : 'short' }
  }
  // SQLite's integers have 64 bits whatever they are called, and so have CockroachDB's.
  const integer = ['short', 'integer'].includes(String(fieldOfType.get(type)?.['type']))
  if (integer && (isSqlite(driver) || driver === 'cockroachdb')) return { type: 'long' }
  return undefined
}

function isPostgres(driver: string): boolean {
  return ['postgres', 'aurora-postgres', 'cockroachdb'].includes(driver)
}

function isMysql(driver: string): boolean {
  return ['mysql', 'mariadb', 'aurora-mysql'].includes(driver)
}

function isSqlite(driver: string): boolean {
  return [
    'sqlite',
    'better-sqlite3',
    'sqljs',
    'expo',
    'cordova',
    'nativescript',
    'react-native',
    'capacitor',
  ].includes(driver)
}
