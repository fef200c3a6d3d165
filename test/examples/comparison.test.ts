import fc from 'fast-check'
import { expect, test } from 'vitest'

import { compareSides, differingFields, flatten, type Item } from '../../examples/cities/demo/comparison.ts'

async function* side(items: Iterable<Item>): AsyncGenerator<Item> {
  yield* items
}

const item = (id: number, fields: Item['fields'] = {}): Item => ({
  id,
  fields: { _id: String(id), ...fields },
})

test('equal sides have no differences', async () => {
  const items = [item(1, { name: 'Vila' }), item(3, { name: 'Soldeu' })]
  expect(await compareSides(side(items), side(items))).toEqual({
    rows: 2,
    documents: 2,
    differences: 0,
    examples: [],
  })
})

test('a missing document, a document too many and a differing field are each named', async () => {
  const rows = [item(1), item(2), item(4, { name: 'Vila' })]
  const documents = [item(2), item(3), item(4, { name: 'Soldeu' }), item(9)]
  expect(await compareSides(side(rows), side(documents))).toEqual({
    rows: 3,
    documents: 4,
    differences: 4,
    examples: [
      'city 1 has no document',
      'document "3" has no row',
      'city 4: name is "Vila" in the row and "Soldeu" in the document',
      'document "9" has no row',
    ],
  })
})

test('both sides are ended when one of them fails', async () => {
  const ended: string[] = []
  async function* failing(): AsyncGenerator<Item> {
    yield item(1)
    throw new Error('the connection is lost')
  }
  async function* endless(): AsyncGenerator<Item> {
    try {
      for (let id = 1; ; id++) yield item(id)
    } finally {
      ended.push('documents')
    }
  }
  await expect(compareSides(failing(), endless())).rejects.toThrow('the connection is lost')
  expect(ended).toEqual(['documents'])
})

test('property: the counts are those of the two sets, whichever ids they hold', async () => {
  const anySide = fc.dictionary(fc.integer({ min: 1, max: 40 }).map(String), fc.integer({ min: 0, max: 1 }))
  const items = (of: Record<string, number>): Item[] =>
    Object.keys(of)
      .map(Number)
      .sort((a, b) => a - b)
      .map((id) => item(id, { value: of[id] }))
  await fc.assert(
    fc.asyncProperty(anySide, anySide, async (rows, documents) => {
      const ids = [...new Set([...Object.keys(rows), ...Object.keys(documents)])]
      const comparison = await compareSides(side(items(rows)), side(items(documents)))
      expect(comparison.rows).toBe(Object.keys(rows).length)
      expect(comparison.documents).toBe(Object.keys(documents).length)
      expect(comparison.differences).toBe(ids.filter((id) => rows[id] !== documents[id]).length)
      expect(comparison.examples.length).toBe(Math.min(10, comparison.differences))
    }),
  )
})

test('a field that only one side has is a difference, and so is another type', () => {
  expect(differingFields({ a: 1, b: '1' }, { b: 1, c: null })).toEqual([
    'a is 1 in the row and missing in the document',
    'b is "1" in the row and 1 in the document',
    'c is missing in the row and null in the document',
  ])
})

test('nested fields are compared under their dotted names', () => {
  expect(flatten({ id: 1, location: { lat: 2, lon: 3 }, tags: ['a'], none: null })).toEqual({
    id: 1,
    'location.lat': 2,
    'location.lon': 3,
    tags: ['a'],
    none: null,
  })
})
