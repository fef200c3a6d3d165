import type { DataSource } from 'typeorm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { IndexedOptions, Mappings } from '../../src/indexed.ts'
import { deriveMappings } from '../../src/indexing/mapping.ts'
import { defaultDocument } from '../../src/sync/document.ts'
import { testSpace, type TestSpace } from '../support/services.ts'
import { Country, Sample, Shop, Tag, connected, definitionOf, sampleValues } from './entities.ts'

const string = { type: 'text', fields: { keyword: { type: 'keyword', ignore_above: 256 } } }

let space: TestSpace
let dataSource: DataSource

beforeAll(async () => {
  space = await testSpace()
  dataSource = await connected(space, [Country, Tag, Shop, Sample])
})

afterAll(async () => {
  await dataSource?.destroy()
  await space?.dispose()
})

const derive = (options: IndexedOptions, entity: typeof Shop | typeof Sample = Shop): Mappings =>
  deriveMappings(definitionOf(dataSource, entity, 'shops', options))

const country = { type: 'object', properties: { code: string, name: string } }

describe('derived from the entity', () => {
  test('columns under their property names, without those that are not loaded and foreign keys', () => {
    expect(derive({})).toEqual({
      properties: {
        id: { type: 'keyword' },
        name: string,
        address: { type: 'object', properties: { street: string } },
      },
    })
  })

  test('named relations as objects, also inside embedded entities and below each other', () => {
    const relations = {
      address: { country: true },
      tags: { origin: true },
      parent: true,
      branches: { tags: true },
    }
    const shop = {
      id: { type: 'keyword' },
      name: string,
      address: { type: 'object', properties: { street: string } },
    }
    const tag = { id: { type: 'long' }, label: string }
    expect(derive({ relations }).properties).toEqual({
      ...shop,
      address: { type: 'object', properties: { street: string, country } },
      tags: { type: 'object', properties: { ...tag, origin: country } },
      parent: { type: 'object', properties: shop },
      branches: { type: 'object', properties: { ...shop, tags: { type: 'object', properties: tag } } },
    })
  })

  test('a relation given as false is not named', () => {
    expect(derive({ relations: { tags: false } }).properties).not.toHaveProperty('tags')
  })

  test('a relation that does not exist is refused with those that do', () => {
    expect(() => derive({ relations: { labels: true } })).toThrow(
      expect.objectContaining({
        code: 'ENTITY',
        message: expect.stringMatching(/Shop has no relation "labels".*tags/) as string,
      }),
    )
  })
})

describe("merged with the user's", () => {
  const merged = (properties: Record<string, unknown>, relations = {}): Record<string, unknown> =>
    derive({ relations, mappings: { properties } }).properties ?? {}

  test('another type replaces the field', () => {
    expect(merged({ name: { type: 'keyword' } })['name']).toEqual({ type: 'keyword' })
  })

  test('the same type, or none, adds to it', () => {
    expect(merged({ name: { type: 'text', analyzer: 'english' } })['name']).toEqual({
      ...string,
      analyzer: 'english',
    })
    expect(merged({ name: { fields: { length: { type: 'long' } } } })['name']).toEqual({
      type: 'text',
      fields: { ...string.fields, length: { type: 'long' } },
    })
  })

  test('a new field is added', () => {
    expect(merged({ location: { type: 'geo_point' } })).toMatchObject({ location: { type: 'geo_point' } })
  })

  test('fields of relations can be given nested or with dots', () => {
    const nested = { address: { properties: { country: { properties: { name: { type: 'keyword' } } } } } }
    const dotted = { 'address.country.name': { type: 'keyword' } }
    const expected = { code: string, name: { type: 'keyword' } }
    for (const given of [nested, dotted]) {
      const address = merged(given, { address: { country: true } })['address']
      expect(address).toMatchObject({ type: 'object', properties: { country: { properties: expected } } })
    }
  })

  test('dots are letters when the mapping has no subobjects', () => {
    const mappings = { subobjects: false, properties: { 'address.zip': { type: 'keyword' } } }
    expect(derive({ mappings }).properties).toHaveProperty(['address.zip'])
  })

  test('nested in place of object keeps the derived fields', () => {
    expect(merged({ tags: { type: 'nested' } }, { tags: true })['tags']).toEqual({
      type: 'nested',
      properties: { id: { type: 'long' }, label: string },
    })
  })

  test('an object that is not looked into has no fields', () => {
    const off = { type: 'object', enabled: false }
    expect(merged({ tags: off }, { tags: true })['tags']).toEqual(off)
  })

  test('everything else is passed through', () => {
    const mappings = { dynamic: 'strict', _meta: { owner: 'me' }, dynamic_templates: [] }
    expect(derive({ mappings })).toMatchObject(mappings)
  })
})

test('what TypeORM loads from PostgreSQL fits the derived mapping and is found by it', async () => {
  const repository = dataSource.getRepository(Sample)
  const { id } = await repository.save(Object.assign(new Sample(), sampleValues))
  const row = await repository.findOneByOrFail({ id })
  const index = `${space.indexPrefix}samples`
  // `strict`: a field that the mapping lacks would be refused, except below JSON columns.
  const definition = definitionOf(dataSource, Sample, index, { mappings: { dynamic: 'strict' } })
  const document = defaultDocument(definition)(row)
  const client = space.elasticsearch()
  await client.indices.create({ index, mappings: deriveMappings(definition) as object })
  await client.index({ index, document, refresh: true })

  const found = async (query: Record<string, unknown>): Promise<number> =>
    (await client.count({ index, query })).count
  const terms: Record<string, unknown> = {
    id,
    'string.keyword': 'Straße',
    number: 7,
    bool: true,
    date: '2020-01-02T03:04:05.678Z',
    'varchar.keyword': 'Zürich',
    uuid: sampleValues.uuid,
    colour: 'red',
    simpleEnum: 'b',
    smallint: -32768,
    int4: 2147483647,
    int8: '9223372036854775807',
    real: 0.1,
    float8: 1.5e300,
    numeric: '12345678901234567890.123456789',
    price: '19.90',
    digits: '123456789012345678',
    wide: '12345678901234567890.1234567891',
    money: row.money,
    day: '2024-02-29',
    instant: '+010000-01-01T04:59:59.000Z',
    time: '01:02:03',
    timetz: '01:02:03+02',
    'interval.days': 2,
    'interval.milliseconds': 500,
    'jsonb.colour.keyword': 'red',
    'jsonb.sizes': 2,
    'json.a': 2,
    'simpleJson.a.keyword': 'b',
    'simpleArray.keyword': 'two',
    'texts.keyword': 'four',
    integers: 2,
    bigints: '9007199254740993',
    numerics: 1.5,
    instants: '2021-01-01',
    enums: 'y',
    'point.y': 2,
    'circle.radius': 3,
    polygon: '((0,0),(1,1),(1,0))',
    box: '(1,1),(0,0)',
    bit: '1010',
    inet: '10.0.0.0/8',
    cidr: '10.1.0.0/16',
    macaddr: '08:00:2b:01:02:03',
    range: '[1,5)',
    'xml.keyword': '<a>b</a>',
    version: 1,
  }
  const missed: string[] = []
  for (const [field, value] of Object.entries(terms)) {
    if ((await found({ term: { [field]: value } })) !== 1) missed.push(field)
  }
  expect(missed).toEqual([])
  expect(await found({ match: { words: 'dog' } })).toBe(1)
  expect(await found({ range: { 'numeric.number': { gt: 1.2e19, lt: 1.3e19 } } })).toBe(1)
  expect(await found({ range: { price: { gt: 19.89, lt: 19.91 } } })).toBe(1)
  expect(await found({ range: { createdAt: { lte: 'now' } } })).toBe(1)
  // Nothing of the row was left out.
  const unmapped = Object.keys(document).filter(
    (name) => document[name] !== null && document[name] !== undefined,
  )
  expect(unmapped.sort()).toEqual(
    [...Object.keys(sampleValues), 'id', 'createdAt', 'updatedAt', 'version'].sort(),
  )
})
