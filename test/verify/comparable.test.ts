import { expect, test } from 'vitest'

import { incomparableFields } from '../../src/verify/comparable.ts'

test('vectors are not compared, wherever they are', () => {
  const properties = {
    name: { type: 'text' },
    meaning: { type: 'dense_vector' },
    parts: { type: 'nested', properties: { words: { type: 'sparse_vector' }, name: { type: 'text' } } },
  }
  expect(incomparableFields('cities', { properties }, {})).toEqual(new Set(['meaning', 'parts.words']))
})

test.each([
  [{ _source: { enabled: false } }, {}, 'keeps no `_source`'],
  [{ _source: { mode: 'synthetic' } }, {}, 'makes its `_source` anew'],
  [{}, { 'index.mapping.source.mode': 'synthetic' }, 'makes its `_source` anew'],
  [{ _source: { excludes: ['secret'] } }, {}, 'keeps a part of `_source` only'],
])('an index whose mapping has %j is refused', (mappings, settings, reason) => {
  expect(() => incomparableFields('cities', mappings, settings)).toThrow(reason)
})
