import { expect, test } from 'vitest'

import { differences } from './differences.ts'

const found = (content: Record<string, unknown>) => ({ content, version: 7 })

test('finds what is missing, stale and orphaned, and nothing else', () => {
  const expected = new Map([
    ['same', { id: 1, at: { x: [1, null] } }],
    ['other order', { a: 1, b: 2 }],
    ['missing', { id: 2 }],
    ['stale', { id: 3, name: 'new' }],
    ['a part too much', { id: 4 }],
    ['null for nothing', { id: 5 }],
  ])
  const documents = new Map([
    ['same', found({ id: 1, at: { x: [1, null] } })],
    ['other order', found({ b: 2, a: 1 })],
    ['stale', found({ id: 3, name: 'old' })],
    ['a part too much', found({ id: 4, more: true })],
    ['null for nothing', found({ id: 5, name: null })],
    ['orphaned', found({ id: 6 })],
  ])
  const wrong = differences('index', expected, documents)
  expect(wrong.map(({ kind, id }) => `${kind}: ${id}`)).toEqual([
    'missing: missing',
    'stale: stale',
    'stale: a part too much',
    'stale: null for nothing',
    'orphaned: orphaned',
  ])
  expect(wrong[1]).toEqual({
    kind: 'stale',
    index: 'index',
    id: 'stale',
    expected: { id: 3, name: 'new' },
    found: found({ id: 3, name: 'old' }),
  })
})
