import fc from 'fast-check'
import { expect, test } from 'vitest'

import { bulkLines } from '../../../src/indexing/bulk-request.ts'
import { mergeAnswers, parseBulk } from './bulk-body.ts'

const operations = fc.array(
  fc.record({
    id: fc.string({ minLength: 1 }),
    version: fc.nat().map(String),
    target: fc.constantFrom('a.write', 'b.write'),
    source: fc.option(
      fc.jsonValue().map((value) => JSON.stringify({ value })),
      { nil: undefined },
    ),
  }),
  { minLength: 1 },
)

test('a body is read as it was written, and its operations put together give it again', () => {
  fc.assert(
    fc.property(operations, (wanted) => {
      const body = wanted.map(bulkLines).join('')
      const items = parseBulk(body)
      expect(
        items.map(({ id, version, index, source }) => ({
          id,
          version: String(version),
          target: index,
          source,
        })),
      ).toEqual(wanted)
      expect(items.map(({ text }) => text).join('')).toBe(body)
    }),
  )
})

test('answers of a request of which some operations were refused stand at their places', () => {
  fc.assert(
    fc.property(operations, fc.infiniteStream(fc.boolean()), (wanted, coin) => {
      const items = parseBulk(wanted.map(bulkLines).join(''))
      const refused = new Set([...items.keys()].filter(() => coin.next().value))
      const passed = [...items.keys()].filter((i) => !refused.has(i))
      const merged = mergeAnswers(
        items,
        refused,
        passed.map((i) => ({ index: { status: 200, i } })),
      )
      expect(merged).toHaveLength(items.length)
      merged.forEach((answer, i) => {
        if (refused.has(i)) expect(answer).toMatchObject({ [items[i]!.action]: { status: 429 } })
        else expect(answer).toEqual({ index: { status: 200, i } })
      })
    }),
  )
})
