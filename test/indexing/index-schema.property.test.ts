import type { Client } from '@elastic/elasticsearch'
import * as fc from 'fast-check'
import type { DataSource } from 'typeorm'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { isRedstreamError } from '../../src/errors.ts'
import type { IndexDefinition, IndexedOptions, Mappings } from '../../src/indexed.ts'
import { initIndex } from '../../src/indexing/index-schema.ts'
import { testSpace, type TestSpace } from '../support/services.ts'
import { Country, Shop, Tag, connected, definitionOf } from './entities.ts'

let space: TestSpace
let dataSource: DataSource
let client: Client

beforeAll(async () => {
  space = await testSpace()
  dataSource = await connected(space, [Country, Tag, Shop])
  client = space.elasticsearch()
})

afterAll(async () => {
  await dataSource?.destroy()
  await space?.dispose()
})

const flag = fc.boolean()
/** A field with some of the given parameters; many of the values are Elasticsearch's defaults, which it drops. */
const field = (
  type: string,
  parameters: Record<string, fc.Arbitrary<unknown>> = {},
): fc.Arbitrary<Record<string, unknown>> =>
  fc.record({ type: fc.constant(type), ...parameters }, { requiredKeys: ['type'] })

const numeric = {
  index: flag,
  doc_values: fc.constant(true),
  store: flag,
  coerce: flag,
  ignore_malformed: flag,
}
const keyword = field('keyword', {
  index: flag,
  doc_values: flag,
  ignore_above: fc.constantFrom(1, 256, '512', 2147483647),
  null_value: fc.constantFrom('NULL', 'x'),
  norms: flag,
  eager_global_ordinals: flag,
  similarity: fc.constantFrom('BM25', 'boolean'),
  meta: fc.constant({ unit: 'x' }),
})
const leaf = fc.oneof(
  keyword,
  field('text', {
    index: fc.constant(true),
    norms: flag,
    analyzer: fc.constantFrom('standard', 'simple', 'whitespace', 'mine'),
    search_analyzer: fc.constantFrom('standard', 'simple'),
    index_options: fc.constantFrom('positions', 'offsets', 'docs'),
    term_vector: fc.constantFrom('no', 'yes'),
    store: flag,
    position_increment_gap: fc.constantFrom(100, 10, '5'),
    fields: fc.record({ keyword, length: field('long', numeric) }, { requiredKeys: [] }),
  }),
  field('long', { ...numeric, null_value: fc.constantFrom(0, '1') }),
  field('double', { ...numeric, null_value: fc.constantFrom(0, 1.5) }),
  field('short', numeric),
  field('boolean', { null_value: fc.constantFrom(true, 'false'), index: flag, store: flag }),
  field('date', {
    format: fc.constantFrom('strict_date_optional_time||epoch_millis', 'epoch_second', 'yyyy-MM-dd'),
    ignore_malformed: flag,
    locale: fc.constantFrom('en', 'de-DE'),
  }),
  field('geo_point', { ignore_z_value: flag, ignore_malformed: flag }),
  field('ip', { index: flag, ignore_malformed: flag }),
  field('binary', { doc_values: flag, store: flag }),
  field('long_range', { coerce: flag, index: flag }),
  field('flattened', { depth_limit: fc.constantFrom(20, 5), ignore_above: fc.constantFrom(100) }),
  field('dense_vector', {
    dims: fc.constantFrom(3, '4'),
    index: fc.constant(true),
    similarity: fc.constantFrom('cosine', 'l2_norm'),
    index_options: fc.constantFrom({ type: 'hnsw' }, { type: 'int8_hnsw', m: 8 }, { type: 'flat' }),
  }).map((vector) => ({ dims: 3, ...vector })),
  field('completion', { max_input_length: fc.constantFrom(50, 20), analyzer: fc.constantFrom('simple') }),
)
const names = fc.constantFrom('a', 'b', 'c', 'x.y', 'x.z', 'p.q.r')
const dynamic = fc.constantFrom<unknown>(true, false, 'true', 'strict', 'runtime', 'false')
const properties = (depth: number): fc.Arbitrary<Record<string, unknown>> =>
  fc.dictionary(names, depth === 0 ? leaf : fc.oneof(leaf, container(depth - 1)), { maxKeys: 4 })
const container = (depth: number): fc.Arbitrary<Record<string, unknown>> =>
  fc.oneof(
    fc.record({ properties: properties(depth) }),
    fc.record(
      { type: fc.constantFrom('object', 'nested'), dynamic, properties: properties(depth) },
      { requiredKeys: ['type'] },
    ),
    fc.constant({ type: 'object', enabled: false }),
    fc.constant({ enabled: false }),
    fc.constant({ type: 'object' }),
  )
const mappings: fc.Arbitrary<Mappings> = fc.record(
  {
    dynamic,
    date_detection: flag,
    numeric_detection: flag,
    _meta: fc.constantFrom({ a: 1, b: [1, { c: null }] }, {}),
    _source: fc.constantFrom({}, { enabled: true }, { excludes: ['a.*'] }),
    _routing: fc.constant({ required: false }),
    dynamic_date_formats: fc.constantFrom(['yyyy'], ['strict_date_optional_time']),
    dynamic_templates: fc.constantFrom<unknown>(
      [],
      [{ strings: { match_mapping_type: 'string', mapping: { type: 'keyword' } } }],
      [{ all: { match: '*', unmatch: 'x', mapping: { type: 'keyword', ignore_above: 10 } } }],
    ),
    runtime: fc.constant({ day: { type: 'keyword' } }),
    properties: properties(2),
  },
  { requiredKeys: [] },
)
const analysis = {
  analyzer: { mine: { type: 'custom', tokenizer: 'standard', filter: ['lowercase', 'stops'] } },
  filter: { stops: { type: 'stop', stopwords: ['a', 'b'] } },
}
const settings = fc
  .record(
    {
      number_of_replicas: fc.constantFrom(0, '1'),
      'index.refresh_interval': fc.constantFrom('1s', '-1', -1, '30s'),
      gc_deletes: fc.constantFrom('60m', '1d', '1h'),
      max_result_window: fc.constantFrom(10_000, '20000'),
      codec: fc.constantFrom('default', 'best_compression'),
      index: fc.constantFrom(
        { hidden: false },
        { mapping: { total_fields: { limit: 2000 } } },
        { query: { default_field: ['a', 'b'] } },
      ),
      'query.default_field': fc.constantFrom('a', ['a'], ['a', 'b']),
      number_of_shards: fc.constant(null),
      blocks: fc.constant({ write: false }),
    },
    { requiredKeys: [] },
  )
  .map((given) => ({ ...given, analysis }))

const runs = { numRuns: Number(process.env['REDSTREAM_RUNS'] ?? 30) }
let number = 0
const define = (name: string, options: IndexedOptions): IndexDefinition =>
  definitionOf(dataSource, Country, space.indexPrefix + name, options)

test('a second run with the same declaration never finds a difference', async () => {
  let created = 0
  await fc.assert(
    fc.asyncProperty(mappings, settings, async (mappings, settings) => {
      const definition = define(`same-${number++}`, { mappings, settings })
      // Combinations that Elasticsearch refuses say nothing about the second run.
      const first = await initIndex(client, definition).catch(() => undefined)
      if (first === undefined) return
      created++
      try {
        expect(await initIndex(client, definition)).toEqual({ ...first, action: 'unchanged' })
      } finally {
        await client.indices.delete({ index: first.physical })
      }
    }),
    runs,
  )
  expect(created).toBeGreaterThan(runs.numRuns / 2)
})

test('a changed declaration is refused without a change, or in force after one run', async () => {
  let updated = 0
  await fc.assert(
    fc.asyncProperty(mappings, mappings, async (before, after) => {
      const name = `changed-${number++}`
      const first = await initIndex(client, define(name, { mappings: before, settings: { analysis } })).catch(
        () => undefined,
      )
      if (first === undefined) return
      const index = first.physical
      try {
        const definition = define(name, { mappings: after, settings: { analysis } })
        const live = await client.indices.get({ index })
        const second = await initIndex(client, definition).catch((error: unknown) => error)
        if (isRedstreamError(second)) {
          expect(second.code).toBe('INDEX')
          expect(await client.indices.get({ index })).toEqual(live)
        } else {
          updated++
          expect(await initIndex(client, definition)).toEqual({ ...first, action: 'unchanged' })
        }
      } finally {
        await client.indices.delete({ index })
      }
    }),
    runs,
  )
  expect(updated).toBeGreaterThan(0)
})
