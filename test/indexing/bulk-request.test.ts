import fc from 'fast-check'
import { expect, test } from 'vitest'

import { bulkLines, nextRequest, type BulkRequest } from '../../src/indexing/bulk-request.ts'

const operation = fc.record({
  id: fc.string({ unit: 'grapheme', minLength: 1 }),
  version: fc.bigInt({ min: 1n, max: 2n ** 62n }).map(String),
  source: fc.option(
    fc.string({ unit: 'grapheme' }).map((name) => JSON.stringify({ name })),
    { nil: undefined },
  ),
  target: fc.constantFrom('a.write', 'b.write'),
})

test('an index operation has two lines, a delete one; ids are escaped and versions keep every digit', () => {
  fc.assert(
    fc.property(operation, (given) => {
      const lines = bulkLines(given).split('\n')
      expect(lines.pop()).toBe('')
      expect(lines).toHaveLength(given.source === undefined ? 1 : 2)
      const [header, source] = lines as [string, string | undefined]
      const [action, meta] = Object.entries(JSON.parse(header) as object)[0] as [
        string,
        Record<string, unknown>,
      ]
      expect(action).toBe(given.source === undefined ? 'delete' : 'index')
      expect(meta).toMatchObject({ _id: given.id, _index: given.target, version_type: 'external_gte' })
      expect(header).toContain(`"version":${given.version},`)
      expect(source).toBe(given.source)
    }),
  )
})

test('a place of its own gives the _id and the routing', () => {
  const at = (place: { id: string; routing?: string }): unknown =>
    JSON.parse(bulkLines({ id: '7', version: '5', source: undefined, target: 'a.write', place }))
  const written = { _index: 'a.write', version: 5, version_type: 'external_gte' }
  expect(at({ id: 'slug' })).toEqual({ delete: { ...written, _id: 'slug' } })
  expect(at({ id: 'slug', routing: '"x"' })).toEqual({ delete: { ...written, _id: 'slug', routing: '"x"' } })
})

test('requests hold every operation once, in order, and none is too large unless one operation is', () => {
  const window = fc.record({
    documents: fc.integer({ min: 1, max: 30 }),
    bytes: fc.integer({ min: 1, max: 2_000 }),
  })
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), window, (operations, limits) => {
      const requests: BulkRequest[] = []
      for (let sent = 0; sent < operations.length; sent += requests.at(-1)!.operations.length) {
        requests.push(nextRequest(operations.slice(sent), limits))
        expect(requests.at(-1)!.operations.length).toBeGreaterThan(0)
      }
      expect(requests.flatMap((request) => request.operations)).toEqual(operations)
      for (const { body, bytes, operations: inside } of requests) {
        expect(Buffer.byteLength(body)).toBe(bytes)
        expect(inside.length).toBeLessThanOrEqual(limits.documents)
        if (inside.length > 1) expect(bytes).toBeLessThanOrEqual(limits.bytes)
      }
    }),
  )
})
