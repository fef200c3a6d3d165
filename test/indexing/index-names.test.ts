import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import {
  checkIndexName,
  definitionHash,
  indexNameProblem,
  parsePhysicalName,
  physicalIndexName,
  proposeIndexName,
  writeAliasOf,
} from '../../src/indexing/index-names.ts'
import { testSpace, type TestSpace } from '../support/services.ts'

const hash = definitionHash({ properties: {} }, {})

describe('names that Elasticsearch refuses', () => {
  const illegal = [
    ...Array.from('\\/*?"<>| ,#:').map((letter) => `a${letter}b`),
    '-a',
    '_a',
    '+a',
    '.',
    '..',
    'é'.repeat(128),
  ]
  let space: TestSpace

  beforeAll(async () => {
    space = await testSpace()
  })
  afterAll(() => space?.dispose())

  test.each([...illegal, 'Cities', ''])('%j is refused with a legal proposal', (name) => {
    expect(indexNameProblem(name)).toBeDefined()
    expect(() => checkIndexName(name, 'City')).toThrow(
      expect.objectContaining({
        code: 'ENTITY',
        message: expect.stringContaining(`'${proposeIndexName(name)}'`) as string,
      }),
    )
  })

  test('the server refuses the same', async () => {
    const client = space.elasticsearch()
    const index = `${space.indexPrefix}probe`
    for (const alias of illegal) {
      await expect(client.indices.create({ index, aliases: { [alias]: {} } }), alias).rejects.toMatchObject({
        statusCode: 400,
      })
    }
    await expect(client.indices.create({ index: `${index}A` })).rejects.toMatchObject({ statusCode: 400 })
  })

  test('the longest name that is accepted leaves room for the physical index and its write alias', async () => {
    const alias = space.indexPrefix.padEnd(225, 'x')
    expect(indexNameProblem(alias)).toBeUndefined()
    expect(indexNameProblem(`${alias}x`)).toBeDefined()
    const index = physicalIndexName(alias, new Date(), hash)
    await space.elasticsearch().indices.create({ index, aliases: { [writeAliasOf(index)]: {} } })
  })
})

test('every proposal is legal', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (name) => {
      expect(indexNameProblem(proposeIndexName(name))).toBeUndefined()
    }),
  )
})

test.each([
  ['OrderItems', 'order_items'],
  ['My Cities', 'my_cities'],
  ['_private', 'private'],
  ['***', 'documents'],
])('%s: proposes %s', (name, proposal) => {
  expect(proposeIndexName(name)).toBe(proposal)
})

test('a physical name says alias, age and definition', () => {
  const physical = physicalIndexName('cities', new Date('2024-03-04T05:06:07.891Z'), hash)
  expect(physical).toBe(`cities-20240304050607-${hash.slice(0, 8)}`)
  expect(writeAliasOf(physical)).toBe(`${physical}.write`)
})

test('physical names are read back, whatever the alias', () => {
  const second = fc.date({
    min: new Date('2000-01-01'),
    max: new Date('2999-12-31T23:59:59.999Z'),
    noInvalidDate: true,
  })
  const alias = fc.oneof(
    fc.stringMatching(/^[a-z0-9.][a-z0-9._-]{0,20}$/),
    fc.constant('a-20240304050607-12345678'),
  )
  fc.assert(
    fc.property(alias, second, (alias, date) => {
      const createdAt = new Date(Math.floor(date.getTime() / 1000) * 1000)
      const parsed = parsePhysicalName(physicalIndexName(alias, date, hash))
      expect(parsed).toEqual({ alias, createdAt, hash: hash.slice(0, 8) })
    }),
  )
})

test.each(['cities', 'cities-2024', 'cities-20241304050607-12345678', '-20240304050607-12345678'])(
  '%s is no physical name',
  (name) => {
    expect(parsePhysicalName(name)).toBeUndefined()
  },
)

test('the hash ignores the order of keys and tells definitions apart', () => {
  expect(definitionHash({ a: 1, b: { c: 2, d: 3 } }, { e: 4 })).toBe(
    definitionHash({ b: { d: 3, c: 2 }, a: 1 }, { e: 4 }),
  )
  expect(definitionHash({ a: [1, 2] }, {})).not.toBe(definitionHash({ a: [2, 1] }, {}))
  expect(definitionHash({ a: 1 }, {})).not.toBe(definitionHash({}, { a: 1 }))
})
