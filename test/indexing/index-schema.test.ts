import type { Client, estypes } from '@elastic/elasticsearch'
import type { DataSource } from 'typeorm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { RedstreamError } from '../../src/errors.ts'
import type { IndexDefinition, IndexedOptions } from '../../src/indexed.ts'
import { parsePhysicalName } from '../../src/indexing/index-names.ts'
import { currentTargets, initIndex, initIndexes } from '../../src/indexing/index-schema.ts'
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

const define = (name: string, options: IndexedOptions = {}): IndexDefinition =>
  definitionOf(dataSource, Country, space.indexPrefix + name, options)

const indicesOf = async (name: string): Promise<string[]> =>
  Object.keys(await client.indices.get({ index: `${space.indexPrefix}${name}*`, expand_wildcards: 'all' }))

async function refusal(promise: Promise<unknown>): Promise<RedstreamError> {
  const error: unknown = await promise.then(
    () => new Error('nothing was refused'),
    (reason: unknown) => reason,
  )
  if (error instanceof RedstreamError) return error
  throw error
}

describe('a new index', () => {
  test('has its two aliases, the mapping and the settings; a second run finds it as it should be', async () => {
    const definition = define('new', { settings: { number_of_replicas: 0 } })
    const first = await initIndex(client, definition)
    expect(first).toMatchObject({ name: definition.name, action: 'created', changes: [] })
    expect(parsePhysicalName(first.physical)).toMatchObject({ alias: definition.name })

    const { [first.physical]: live } = await client.indices.get({
      index: first.physical,
      flat_settings: true,
    })
    expect(live?.aliases).toEqual({
      [definition.name]: { is_write_index: true },
      [`${first.physical}.write`]: { is_write_index: true, is_hidden: true },
    })
    expect(live?.settings).toMatchObject({ 'index.gc_deletes': '1h', 'index.number_of_replicas': '0' })
    expect(Object.keys(live?.mappings?.properties ?? {})).toEqual(['code', 'name'])

    expect(await initIndex(client, definition)).toEqual({ ...first, action: 'unchanged' })
    expect(await currentTargets(client, definition)).toEqual([`${first.physical}.write`])
  })

  test('is made once, however many processes make it at once', async () => {
    // Other settings give the others another hash, so that they do not collide by the name of the index alone.
    const definitions = Array.from({ length: 8 }, (_, i) =>
      define('race', { settings: { refresh_interval: `${1 + (i % 4)}s` } }),
    )
    const reports = await Promise.all(definitions.map((definition) => initIndex(client, definition)))
    expect(reports.filter((report) => report.action === 'created')).toHaveLength(1)
    expect(new Set(reports.map((report) => report.physical)).size).toBe(1)
    expect(await indicesOf('race')).toEqual([reports[0]?.physical])
  })

  test('takes what an index template of the cluster brings', async () => {
    const name = `${space.indexPrefix}templated`
    await client.indices.putIndexTemplate({
      name,
      index_patterns: [`${name}*`],
      template: {
        settings: { gc_deletes: '1s', refresh_interval: '7s' },
        mappings: { properties: { theirs: { type: 'long' }, name: { type: 'long' } } },
        aliases: { [`${name}-all`]: {} },
      },
    })
    try {
      const definition = define('templated')
      const { physical } = await initIndex(client, definition)
      expect(await initIndex(client, definition)).toMatchObject({ action: 'unchanged', physical })
      const { [physical]: live } = await client.indices.get({ index: physical, flat_settings: true })
      expect(live?.settings).toMatchObject({ 'index.gc_deletes': '1h', 'index.refresh_interval': '7s' })
      expect(live?.mappings?.properties?.['name']).toMatchObject({ type: 'text' })
    } finally {
      await client.indices.deleteIndexTemplate({ name })
    }
  })

  test.each<[string, IndexedOptions, RegExp]>([
    ['an unknown type', { mappings: { properties: { name: { type: 'txt' } } } }, /\(field "name"\).*\[txt\]/],
    [
      'a reason without the field',
      { mappings: { properties: { motto: { type: 'text', analyzer: 'nope' } } } },
      /\(field "motto"\).*\[nope\]/,
    ],
    ['the mapping as a whole', { mappings: { propertiez: {} } }, /[^)]: .*propertiez/],
    ['settings', { settings: { refresh_interval: 'soon' } }, /Country: .*refresh_interval.*soon/],
  ])('that Elasticsearch refuses leaves nothing behind: %s', async (what, options, expected) => {
    const name = `refused-${what.replaceAll(' ', '-')}`
    const error = await refusal(initIndex(client, define(name, options)))
    expect(error).toMatchObject({ code: 'ELASTICSEARCH', message: expect.stringMatching(expected) as string })
    expect(error.message).toContain('Country')
    expect(await indicesOf(name)).toEqual([])
  })

  test('is not made when its definition cannot work', async () => {
    expect(await refusal(initIndex(client, define('Upper')))).toMatchObject({ code: 'ENTITY' })
    const forgetful = define('forgetful', { settings: { gc_deletes: '5m' } })
    expect(await refusal(initIndex(client, forgetful))).toMatchObject({ code: 'ENTITY' })
    // One that is refused keeps the others from being made.
    const report = initIndexes(client, [define('before'), forgetful])
    expect(await refusal(report)).toMatchObject({ code: 'ENTITY' })
    expect(await indicesOf('before')).toEqual([])
  })
})

describe('an existing index', () => {
  test('gets new fields and dynamic settings in place', async () => {
    await initIndex(client, define('grows'))
    const grown = define('grows', {
      settings: { refresh_interval: '5s', gc_deletes: '2h' },
      mappings: {
        dynamic: false,
        properties: {
          area: { type: 'double' },
          name: { fields: { keyword: { type: 'keyword', ignore_above: 512 }, raw: { type: 'keyword' } } },
          flag: { properties: { colours: { type: 'keyword' } } },
        },
      },
    })
    expect(await initIndex(client, grown)).toMatchObject({
      action: 'updated',
      changes: [
        'setting index.gc_deletes: 1h -> 2h',
        'setting index.refresh_interval: default -> 5s',
        'field "area" added (double)',
        'field "flag" added (object)',
        'field "flag.colours" added (keyword)',
        'field "name.raw" added (keyword)',
        'mapping: dynamic default -> false',
        'field "name.keyword": ignore_above 256 -> 512',
      ],
    })
    expect(await initIndex(client, grown)).toMatchObject({ action: 'unchanged', changes: [] })
  })

  test('keeps fields that are declared no more, and those of dynamic mapping', async () => {
    const { physical } = await initIndex(
      client,
      define('keeps', { mappings: { properties: { old: { type: 'long' } } } }),
    )
    await client.index({ index: physical, document: { dynamic: 'text' } })
    expect(await initIndex(client, define('keeps'))).toMatchObject({ action: 'unchanged' })
  })

  test.each<[string, IndexedOptions, string[]]>([
    [
      'types of fields',
      {
        mappings: {
          properties: {
            code: { type: 'keyword' },
            name: { fields: { keyword: { type: 'long' } } },
            more: { type: 'long' },
          },
        },
      },
      ['"code" is text, declared keyword', '"name.keyword" is keyword, declared long', 'redstream reindex'],
    ],
    [
      'an analyzer',
      { mappings: { properties: { name: { type: 'text', analyzer: 'simple' }, more: { type: 'long' } } } },
      ['field "name": analyzer default -> simple', 'redstream reindex'],
    ],
    [
      'a static setting',
      { settings: { number_of_shards: 2 } },
      ['setting index.number_of_shards: 1 -> 2', 'redstream reindex'],
    ],
    [
      'nested in place of object',
      { relations: { shops: true }, mappings: { properties: { shops: { type: 'nested' } } } },
      ['"shops" is object, declared nested'],
    ],
  ])('refuses what it cannot change, as a whole: %s', async (what, options, expected) => {
    const name = `fixed-${what.replaceAll(' ', '-')}`
    const base = define(name, options.relations ? { relations: options.relations } : {})
    const { physical } = await initIndex(client, base)
    const before = await client.indices.get({ index: physical })
    const changed = define(name, options)
    const error = await refusal(initIndexes(client, [define(`${name}-neighbour`), changed]))
    expect(error.code).toBe('INDEX')
    for (const part of [...expected, changed.name, 'Country']) expect(error.message).toContain(part)
    expect(await client.indices.get({ index: physical })).toEqual(before)
  })
})

describe('a name that is taken', () => {
  test('by an index', async () => {
    const definition = define('plain')
    await client.indices.create({ index: definition.name })
    for (const attempt of [initIndex, currentTargets]) {
      const error = await refusal(attempt(client, definition))
      expect(error).toMatchObject({
        code: 'INDEX',
        message: expect.stringContaining('is an index') as string,
      })
    }
  })

  test('by an alias of several indices', async () => {
    const definition = define('several')
    const names = ['several-a', 'several-b'].map((name) => space.indexPrefix + name)
    for (const index of names) await client.indices.create({ index, aliases: { [definition.name]: {} } })
    const error = await refusal(initIndex(client, definition))
    expect(error.code).toBe('INDEX')
    for (const name of names) expect(error.message).toContain(name)
  })

  test('by an alias of an index that Redstream did not make', async () => {
    const definition = define('foreign')
    const index = `${definition.name}-v1`
    await client.indices.create({ index, aliases: { [definition.name]: {} } })
    for (const attempt of [initIndex, currentTargets]) {
      const error = await refusal(attempt(client, definition))
      expect(error).toMatchObject({ code: 'INDEX', message: expect.stringContaining(`"${index}"`) as string })
    }
  })

  test('by nothing: the targets of an index that does not exist', async () => {
    const error = await refusal(currentTargets(client, define('missing')))
    expect(error).toMatchObject({
      code: 'INDEX',
      message: expect.stringContaining('redstream init') as string,
    })
  })
})

test('a late write to a dropped index does not bring it back', async () => {
  const { physical } = await initIndex(client, define('dropped'))
  await client.indices.delete({ index: physical })
  const operations: estypes.BulkRequest['operations'] = [
    { index: { _id: '1', version: 1, version_type: 'external_gte' } },
    {},
  ]
  const answer = await client.bulk({ index: `${physical}.write`, require_alias: true, operations })
  expect(answer.items[0]?.index).toMatchObject({ status: 404 })
  expect(await indicesOf('dropped')).toEqual([])
})
