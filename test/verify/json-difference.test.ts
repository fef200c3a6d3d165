import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { jsonDifferences, sameJson } from '../../src/verify/json-difference.ts'

const json = fc.json().map((text) => JSON.parse(text) as unknown)

function shuffled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shuffled)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, inner]) => [key, shuffled(inner)]),
  )
}

describe('the same JSON', () => {
  test('whatever the order of the keys', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(sameJson(value, shuffled(value))).toBe(true)
        expect(jsonDifferences({ value }, { value: shuffled(value) })).toEqual([])
      }),
    )
  })

  test('is what has the same text with sorted keys', () => {
    const sorted = (value: unknown): string =>
      JSON.stringify(value, (_, inner: unknown) =>
        typeof inner === 'object' && inner !== null && !Array.isArray(inner)
          ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
          : inner,
      )
    fc.assert(
      fc.property(json, json, (a, b) => {
        const same = sorted(a) === sorted(b)
        expect(sameJson(a, b)).toBe(same)
        expect(jsonDifferences({ v: a }, { v: b }).length === 0).toBe(same)
      }),
    )
  })
})

describe('differences', () => {
  test.each([
    [{ a: 1 }, { a: 2 }, [{ field: 'a', row: 1, document: 2 }]],
    [{ a: 1 }, {}, [{ field: 'a', row: 1 }]],
    [{}, { a: null }, [{ field: 'a', document: null }]],
    [{ a: '1' }, { a: 1 }, [{ field: 'a', row: '1', document: 1 }]],
    [{ a: { b: { c: 1 } } }, { a: { b: { c: 2 } } }, [{ field: 'a.b.c', row: 1, document: 2 }]],
    [{ a: { b: 1 } }, { a: 3 }, [{ field: 'a', row: { b: 1 }, document: 3 }]],
    [{ a: [1, { b: 2 }] }, { a: [1, { b: 3 }] }, [{ field: 'a.1.b', row: 2, document: 3 }]],
    [
      { a: [1, 2] },
      { a: [2, 1] },
      [
        { field: 'a.0', row: 1, document: 2 },
        { field: 'a.1', row: 2, document: 1 },
      ],
    ],
    [{ a: [1] }, { a: [1, 2] }, [{ field: 'a', row: [1], document: [1, 2] }]],
    [{ a: [] }, { a: {} }, [{ field: 'a', row: [], document: {} }]],
  ])('%j against %j', (row, document, expected) => {
    expect(jsonDifferences(row, document)).toEqual(expected)
  })

  test('what is ignored is not looked at', () => {
    expect(jsonDifferences({ a: { v: [1], b: 1 } }, { a: { b: 1 } }, new Set(['a.v']))).toEqual([])
    const lists = [{ a: [{ v: [1], b: 1 }] }, { a: [{ b: 2 }] }] as const
    expect(jsonDifferences(...lists, new Set(['a.v']))).toEqual([{ field: 'a.0.b', row: 1, document: 2 }])
  })
})
