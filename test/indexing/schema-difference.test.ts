import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import type { Mappings } from '../../src/indexed.ts'
import { compareMappings, compareSettings, describeDifference } from '../../src/indexing/schema-difference.ts'

const none = { added: [], changed: [] }
const compare = (
  live: Record<string, unknown>,
  declared: Record<string, unknown>,
): ReturnType<typeof compareMappings> => compareMappings({ properties: live }, { properties: declared })

describe('no difference', () => {
  test('between a mapping and itself', () => {
    fc.assert(
      fc.property(fc.object({ maxDepth: 4 }), (properties) => {
        expect(compare(properties, properties)).toEqual(none)
      }),
    )
  })

  test.each<[string, Mappings, Mappings]>([
    [
      'numbers and strings',
      { properties: { a: { type: 'keyword', ignore_above: 5 } } },
      { properties: { a: { type: 'keyword', ignore_above: '5' } } },
    ],
    ['booleans and strings', { dynamic: 'true', properties: {} }, { dynamic: true, properties: {} }],
    [
      'an object without its type',
      { properties: { a: { properties: { b: { type: 'long' } } } } },
      { properties: { a: { type: 'object', properties: { b: { type: 'long' } } } } },
    ],
    [
      'dots',
      { properties: { a: { properties: { b: { type: 'long' } } } } },
      { properties: { 'a.b': { type: 'long' } } },
    ],
    [
      'order',
      { properties: { a: { type: 'date', format: 'x', locale: 'de' } } },
      { properties: { a: { locale: 'de', type: 'date', format: 'x' } } },
    ],
    [
      'what only the live one has',
      {
        dynamic: 'strict',
        properties: {
          a: { type: 'text', fields: { k: { type: 'keyword' } } },
          o: { dynamic: 'false', properties: { x: { type: 'long' } } },
        },
      },
      { properties: { a: { type: 'text' }, o: { type: 'object' } } },
    ],
  ])('in notation: %s', (_, live, declared) => {
    expect(compareMappings(live, declared)).toEqual(none)
  })
})

test('a new field, a new multi-field and a new field of an object are added', () => {
  const live = { a: { type: 'text' }, o: { properties: {} } }
  const declared = {
    a: { type: 'text', fields: { k: { type: 'keyword' } } },
    o: { properties: { x: { type: 'long' } } },
    b: { properties: { y: { type: 'date' } } },
  }
  expect(compare(live, declared)).toEqual({
    added: [
      { field: 'a.k', type: 'keyword' },
      { field: 'o.x', type: 'long' },
      { field: 'b', type: 'object' },
      { field: 'b.y', type: 'date' },
    ],
    changed: [],
  })
})

test('another type is one change, whatever is below it', () => {
  const live = { a: { type: 'text', analyzer: 'simple', fields: { k: { type: 'keyword' } } } }
  const declared = { a: { type: 'object', properties: { x: { type: 'long' } } } }
  expect(compare(live, declared)).toEqual({
    added: [],
    changed: [{ field: 'a', parameter: 'type', live: 'text', declared: 'object' }],
  })
})

test('a parameter of a field is changed when it is given, not given any more, or other', () => {
  const live = { a: { type: 'keyword', ignore_above: 5, norms: true } }
  const declared = { a: { type: 'keyword', ignore_above: 6, index: false } }
  expect(compare(live, declared).changed).toEqual([
    { field: 'a', parameter: 'ignore_above', live: 5, declared: 6 },
    { field: 'a', parameter: 'index', live: undefined, declared: false },
    { field: 'a', parameter: 'norms', live: true, declared: undefined },
  ])
})

test('a parameter of the mapping itself', () => {
  const difference = compareMappings({ dynamic: 'true' }, { dynamic: 'strict', _meta: { a: 1 } })
  expect(describeDifference(difference)).toEqual([
    'mapping: dynamic true -> strict',
    'mapping: _meta default -> {"a":1}',
  ])
})

test('settings: lists and scalars, numbers and strings', () => {
  const live = { 'index.a': '1', 'index.b': ['x'], 'index.c': 'true', 'index.uuid': 'u' }
  expect(compareSettings(live, { 'index.a': 1, 'index.b': 'x', 'index.c': true })).toEqual([])
  expect(compareSettings(live, { 'index.a': 2, 'index.b': ['x', 'y'], 'index.d': '5s' })).toEqual([
    { setting: 'index.a', live: '1', declared: 2 },
    { setting: 'index.b', live: ['x'], declared: ['x', 'y'] },
    { setting: 'index.d', live: undefined, declared: '5s' },
  ])
})
