import * as fc from 'fast-check'
import { DataSource, type EntityTarget, type FindOptionsRelations, type ObjectLiteral } from 'typeorm'
import { afterAll, beforeAll, expect, test } from 'vitest'

import type { IndexDefinition } from '../../../src/indexed.ts'
import { defaultDocument } from '../../../src/sync/document.ts'
import { loadRows } from '../../../src/sync/document-loader.ts'
import { Projection } from '../../../src/sync/projection/projection.ts'
import { recordingLogger } from '../../support/captured.ts'
import { testSpace, type TestSpace } from '../../support/services.ts'
import { entities, Maker, Manual, Part, Tag, Thing } from './entities.ts'

// Times without a zone are those of the process: only in this one does the database know them.
process.env['TZ'] = 'UTC'

let space: TestSpace
let dataSource: DataSource

beforeAll(async () => {
  space = await testSpace()
  dataSource = new DataSource({ ...space.dataSourceOptions(entities), synchronize: true })
  await dataSource.initialize()
})
afterAll(async () => {
  await dataSource.destroy()
  await space.dispose()
})

const orNull = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(value, { freq: 6 })
// PostgreSQL knows no NUL in texts.
const text = fc.string({ unit: 'binary', maxLength: 12 }).map((given) => given.replaceAll('\0', '\n'))
const oddTexts = fc.constantFrom(
  '',
  ' ',
  '"',
  '\\',
  '\b\f\t\r\n',
  '\u007f\u0085\u2028\u2029',
  '😀',
  '</script>',
  'NULL',
  '{}',
)
const words = fc.oneof(text, oddTexts)
const pad = (value: number, digits: number): string => String(value).padStart(digits, '0')
const day = fc.oneof(
  {
    weight: 100,
    arbitrary: fc
      .tuple(
        fc.integer({ min: 1000, max: 9999 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 28 }),
      )
      .map(([y, m, d]) => `${y}-${pad(m, 2)}-${pad(d, 2)}`),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'infinity',
      '-infinity',
      '0044-03-15 BC',
      '0099-12-31',
      '0999-12-31',
      '9999-12-31',
      '12345-06-07',
    ),
  },
)
const clock = fc
  .tuple(
    fc.integer({ min: 0, max: 23 }),
    fc.integer({ min: 0, max: 59 }),
    fc.integer({ min: 0, max: 59 }),
    fc.integer({ min: 0, max: 999_999 }),
  )
  .map(([h, m, s, us]) => `${pad(h, 2)}:${pad(m, 2)}:${pad(s, 2)}.${pad(us, 6)}`)
const instant = fc
  .tuple(day, clock, fc.constantFrom('', '+00', '+05:30', '-11'))
  .map(([date, time, zone]) => {
    if (date.endsWith('infinity')) return date
    return date.endsWith(' BC') ? `${date.slice(0, -3)} ${time}${zone} BC` : `${date} ${time}${zone}`
  })
const written = (value: number): string => (Object.is(value, -0) ? '-0' : String(value))
// Most rows have none of the values that only entities write, or the database would make few documents.
const double = fc
  .oneof(
    { weight: 12, arbitrary: fc.double({ min: -1e6, max: 1e6, noNaN: true }) },
    {
      weight: 6,
      arbitrary: fc.constantFrom(-0, 0, 999_999_999_999_999, 1e-7, 5e-324, 0.1, 1 / 3, 123_456_789),
    },
    { weight: 1, arbitrary: fc.oneof(fc.double(), fc.constantFrom(1e15, -1e15, 1e16, 1e21, NaN, Infinity)) },
  )
  .map(written)
const real = fc
  .oneof(
    { weight: 12, arbitrary: fc.float({ min: -1e6, max: 1e6, noNaN: true }) },
    { weight: 6, arbitrary: fc.constantFrom(-0, 1_000_000, 1e7, 0.1, 16_777_216) },
    { weight: 1, arbitrary: fc.float() },
  )
  .map(written)
const short = fc.oneof(
  fc.integer(),
  fc.integer().map((value) => value / 1_000),
  fc.boolean(),
  words,
  fc.constant(null),
)
const json = fc
  .oneof(
    {
      weight: 12,
      arbitrary: fc.jsonValue({ maxDepth: 2 }).filter((value) => !/\d{16}|e/.test(JSON.stringify(value))),
    },
    {
      weight: 12,
      arbitrary: fc.dictionary(words, fc.oneof(short, fc.array(short, { maxLength: 3 })), { maxKeys: 4 }),
    },
    { weight: 1, arbitrary: fc.jsonValue() },
  )
  .map((value) => JSON.stringify(value).replaceAll('\\u0000', ' '))
const oddJson = fc.constantFrom(
  '1.0',
  '[1.50, 2.00]',
  '12345678901234567890',
  '0.1234567890123456789',
  '1e400',
  '1e21',
  '1e-9',
  '-0',
  '-0.0',
  'null',
  '"1.0"',
  '{"b": 1, "a": 2, "__proto__": 3}',
  '"\\b\\u001f\\u2028"',
  '100.0000001',
  '123456789012345',
)
// Lone halves of surrogates are no text of PostgreSQL's, nor is what JSON.stringify writes for them.
const jsonb = fc
  .oneof({ weight: 15, arbitrary: json }, { weight: 1, arbitrary: oddJson })
  .filter((given) => !/\\u[dD][89a-fA-F]/.test(given))

const thing = fc.record({
  words: orNull(words),
  größe: orNull(words),
  code: orNull(fc.constantFrom('', 'a', 'ab c', '😀')),
  small: orNull(fc.integer({ min: -32_768, max: 32_767 })),
  whole: orNull(fc.integer()),
  big: orNull(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String)),
  exact: orNull(fc.constantFrom('NaN', '0', '-0.00', '1.500', '1e30', '12345678901234567890.123456789')),
  price: orNull(fc.integer({ min: -1e9, max: 1e9 }).map((cents) => (cents / 100).toFixed(2))),
  rough: orNull(real),
  fine: orNull(double),
  yes: orNull(fc.boolean()),
  at: orNull(instant),
  local: orNull(instant),
  day: orNull(day),
  hour: orNull(clock),
  json: orNull(jsonb),
  colour: orNull(fc.constantFrom('red', 'dark "blue"', '')),
  uuid: orNull(fc.uuid()),
  address: orNull(fc.constantFrom('10.0.0.1', '10.0.0.0/8', '::1')),
  texts: orNull(fc.array(orNull(words), { maxLength: 3 })),
  numbers: orNull(
    fc.oneof(
      fc.array(orNull(fc.integer()), { maxLength: 3 }),
      fc.constant([
        [1, 2],
        [3, 4],
      ]),
    ),
  ),
  flags: orNull(fc.array(orNull(fc.boolean()), { maxLength: 3 })),
  sizeWidth: orNull(real),
  sizeUnitSymbol: orNull(words),
  maker: orNull(fc.nat(3)),
  lazyMaker: orNull(fc.nat(3)),
  sizeMeasuredBy: orNull(fc.nat(3)),
  tags: fc.uniqueArray(fc.nat(4), { maxLength: 4 }),
  parts: fc.array(fc.record({ id: fc.uuid(), data: orNull(jsonb), maker: orNull(fc.nat(3)) }), {
    maxLength: 3,
  }),
  manual: fc.boolean(),
})
const shop = fc.record({
  makers: fc.array(
    fc.record({ name: words, since: orNull(instant), parent: orNull(fc.nat(3)), deleted: fc.boolean() }),
    { minLength: 4, maxLength: 4 },
  ),
  tags: fc.uniqueArray(fc.record({ name: words, weight: orNull(double), deleted: fc.boolean() }), {
    minLength: 5,
    maxLength: 5,
    selector: ({ name }) => name,
  }),
  things: fc.array(thing, { minLength: 1, maxLength: 4 }),
})
type Shop = typeof shop extends fc.Arbitrary<infer T> ? T : never

/** Raw SQL: what TypeORM would write of these values is not the question. */
async function insert<E extends ObjectLiteral>(
  entity: EntityTarget<E>,
  values: Record<string, unknown>,
): Promise<void> {
  const { tablePath, columns } = dataSource.getMetadata(entity)
  const named = columns.filter((column) => column.propertyPath in values || column.databaseName in values)
  const names = named.map((column) => `"${column.databaseName}"`)
  await dataSource.query(
    `INSERT INTO ${tablePath
      .split('.')
      .map((part) => `"${part}"`)
      .join('.')} (${names.join(', ')})
     VALUES (${names.map((_, i) => `$${i + 1}`).join(', ')})`,
    named.map((column) => values[column.databaseName] ?? values[column.propertyPath] ?? null),
  )
}

async function fill({ makers, tags, things }: Shop): Promise<void> {
  // Not TRUNCATE, which makes new files for tables and indices, a hundred times.
  for (const table of ['thing_tag', 'manual', 'part', 'thing', 'tag', 'maker'])
    await dataSource.query(`DELETE FROM ${table}`)
  const deletedAt = (deleted: boolean): string | null => (deleted ? '2026-01-01' : null)
  for (const [id, { name, since, parent, deleted }] of makers.entries())
    await insert(Maker, {
      id,
      name,
      since,
      parentId: parent !== null && parent < id ? parent : null,
      deletedAt: deletedAt(deleted),
    })
  for (const { name, weight, deleted } of tags)
    await insert(Tag, { name, weight, deletedAt: deletedAt(deleted) })
  for (const [
    id,
    { maker, lazyMaker, sizeMeasuredBy, tags: tagged, parts, manual, ...columns },
  ] of things.entries()) {
    await insert(Thing, {
      id,
      ...columns,
      makerId: maker,
      lazyMakerId: lazyMaker,
      sizeMeasuredById: sizeMeasuredBy,
    })
    for (const tag of tagged)
      await dataSource.query('INSERT INTO thing_tag VALUES ($1, $2)', [id, tags[tag]!.name])
    for (const { maker: of, ...part } of parts) await insert(Part, { ...part, thingId: id, makerId: of })
    if (manual) await insert(Manual, { id: 7, language: `l${id}`, thingId: id })
  }
}

function definitionOf<E extends ObjectLiteral>(
  entity: EntityTarget<E>,
  relations: FindOptionsRelations<E>,
  withDeleted: boolean,
): IndexDefinition {
  const metadata = dataSource.getMetadata(entity)
  const name = metadata.tableName
  return {
    name,
    stream: name,
    partitions: 1,
    metadata,
    options: { relations, withDeleted },
  }
}

/** A JSON text as Elasticsearch sees it, which tells 1 from 1.0. */
function seen(json: string): unknown {
  const tokens = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g
  return JSON.parse(
    json.replace(tokens, (token) => (/^[^"]*[.eE]/.test(token) ? `{ "fraction": ${token} }` : token)),
  )
}

const definitions = (): IndexDefinition[] =>
  [false, true].flatMap((withDeleted) => [
    definitionOf(
      Thing,
      {
        maker: { parent: { parent: true } },
        lazyMaker: true,
        size: { measuredBy: true },
        tags: true,
        parts: { maker: { parent: true } },
        manual: true,
      },
      withDeleted,
    ),
    definitionOf(Part, { thing: { maker: true, manual: true }, maker: true }, withDeleted),
    definitionOf(Tag, {}, withDeleted),
    definitionOf(Maker, { parent: true }, withDeleted),
  ])

test('the database makes the same documents as the way through entities', { timeout: 120_000 }, async () => {
  const made = { byDatabase: 0, ofEntities: 0 }
  const ways = definitions().map((definition) => ({
    definition,
    projection: new Projection(definition, dataSource, recordingLogger([])),
    document: defaultDocument(definition),
  }))
  await fc.assert(
    fc.asyncProperty(shop, async (rows) => {
      await fill(rows)
      const keys: Record<string, string[]> = {
        thing: [...rows.things.keys(), 99].map(String),
        part: rows.things.flatMap(({ parts }) => parts.map(({ id }) => id)),
        tag: rows.tags.map(({ name }) => name),
        maker: [...rows.makers.keys()].map(String),
      }
      for (const { definition, projection, document } of ways) {
        const { documents, rest } = await projection.read(keys[definition.name]!)
        const { rows: loaded } = await loadRows(definition, keys[definition.name]!, dataSource)
        expect([...documents.keys(), ...rest].toSorted()).toEqual([...loaded.keys()].toSorted())
        for (const [key, text] of documents) {
          expect(seen(text)).toEqual(seen(JSON.stringify(document(loaded.get(key)!))))
          // A line of a bulk request.
          expect(text).not.toContain('\n')
        }
        if (definition.name !== 'thing') continue
        made.byDatabase += documents.size
        made.ofEntities += rest.length
      }
    }),
    { numRuns: 100 },
  )
  // Neither way went unused.
  expect(Math.min(made.byDatabase, made.ofEntities)).toBeGreaterThan(20)
})
