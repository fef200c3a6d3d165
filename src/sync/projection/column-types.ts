/** Types of PostgreSQL of which the same JSON can be made by the database and by the way through entities. */

/** A type as PostgreSQL names it (`format_type`). */
export interface JsonType {
  /** SQL that `row_to_json` writes as the entity's value would be written; default: the value itself. */
  readonly json?: (value: string) => string
  /** SQL condition of values that would be written otherwise; never true of null. */
  readonly unusual?: (value: string) => string
  /** True where the driver goes by the time zone of the process. */
  readonly local?: true
  /** The only type a column may be declared as, where TypeORM makes something else of the driver's value for others. */
  readonly declaredAs?: string
  /** What must hold of the driver's parser, which the application may have replaced: texts of this type give that JSON. */
  readonly examples: readonly { readonly text: string; readonly json: string }[]
}

// JavaScript writes years outside of these with a sign and six digits, infinite dates as null.
const oddYear = (value: string): string => `${value} < '1000-01-01' OR ${value} >= '9999-12-31'`

// Beyond it PostgreSQL writes an exponent. Not a number is above everything.
const oddNumber = (value: string): string => `${value} >= 1e15 OR ${value} <= -1e15`

// MS is cut off as JavaScript does it, not rounded.
const iso = (value: string): string => `to_char(${value}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

const text = (value: string): string => `${value}::text`

function example(given: string, json = JSON.stringify(given)): Pick<JsonType, 'examples'> {
  return { examples: [{ text: given, json }] }
}

// Parsers that trim, fold or take an empty text for null are not rare.
const words = {
  examples: [' \u00c9e\u0301 ', ''].map((given) => ({ text: given, json: JSON.stringify(given) })),
}

export const jsonTypes: ReadonlyMap<string, JsonType> = new Map<string, JsonType>([
  ['smallint', example('1', '1')],
  ['integer', example('1', '1')],
  ['bigint', { ...example('1'), json: text }],
  ['numeric', { ...example('1.50'), json: text }],
  // The driver reads the digits of a real as a double. Plus 0: JavaScript writes no negative zero.
  ['real', { ...example('0.1', '0.1'), json: (value) => `${value}::text::float8 + 0`, unusual: oddNumber }],
  ['double precision', { ...example('0.1', '0.1'), json: (value) => `${value} + 0`, unusual: oddNumber }],
  ['boolean', example('t', 'true')],
  ['text', words],
  ['character varying', words],
  ['character', words],
  ['uuid', example('7b0c2a4e-6f0d-4d6e-9c3b-1d2f3a4b5c6d')],
  ['inet', example('10.0.0.1')],
  ['cidr', example('10.0.0.0/8')],
  ['macaddr', example('08:00:2b:01:02:03')],
  ['time without time zone', example('10:20:30.5')],
  [
    'timestamp with time zone',
    {
      // Microseconds tell a date of JavaScript's from one that is more exact.
      ...example('2026-01-02 03:04:05.678901+00', '"2026-01-02T03:04:05.678Z"'),
      json: (value) => iso(`(${value} AT TIME ZONE 'UTC')`),
      unusual: oddYear,
    },
  ],
  [
    'timestamp without time zone',
    {
      ...example('2026-01-02 03:04:05.678901', '"2026-01-02T03:04:05.678Z"'),
      json: iso,
      unusual: oddYear,
      local: true,
    },
  ],
  [
    'date',
    {
      ...example('2026-01-02', '"2026-01-02T00:00:00.000Z"'),
      unusual: oddYear,
      local: true,
      declaredAs: 'date',
    },
  ],
  [
    'jsonb',
    {
      ...example('{"a": 1.50}', '{"a":1.5}'),
      // Numbers that JavaScript rounds, and 1.0, which it writes as 1.
      unusual: (value) => `${value}::text ~ '[0-9.]{16}|\\.0+(?![0-9])'`,
    },
  ],
  ['text[]', example('{a,"NULL",NULL}', '["a","NULL",null]')],
  ['character varying[]', example('{a,"NULL",NULL}', '["a","NULL",null]')],
  ['smallint[]', example('{1,NULL}', '[1,null]')],
  ['integer[]', example('{1,NULL}', '[1,null]')],
  ['boolean[]', example('{t,NULL}', '[true,null]')],
  ['uuid[]', example('{7b0c2a4e-6f0d-4d6e-9c3b-1d2f3a4b5c6d}', '["7b0c2a4e-6f0d-4d6e-9c3b-1d2f3a4b5c6d"]')],
  // Every enum; `format_type` has names of their own for them.
  ['enum', example('a')],
])

/**
 * Where TypeORM does not take a value of a column as the driver gives it (`prepareHydratedValue`), the types of
 * PostgreSQL of which it makes nothing else; none where it always does.
 */
export const typesOfDeclared: ReadonlyMap<unknown, readonly string[]> = new Map<unknown, readonly string[]>([
  [Boolean, ['boolean']],
  [Number, ['smallint', 'integer']],
  ...[
    Date,
    'datetime',
    'timestamp',
    'timestamptz',
    'timestamp with time zone',
    'timestamp without time zone',
  ].map((type) => [type, ['timestamp with time zone', 'timestamp without time zone']] as const),
  ['date', ['date']],
  ['time', ['time without time zone']],
  ['enum', ['enum']],
  ['simple-enum', ['enum', 'character varying', 'text']],
  ...['vector', 'halfvec', 'hstore', 'simple-array', 'simple-json', 'cube'].map(
    (type) => [type, []] as const,
  ),
])
