import fc from 'fast-check'
import { expect, test } from 'vitest'

import { mayReadBulk } from '../../src/streams/claim-policy.ts'
import { batchesHeld } from '../../src/sync/workers.ts'

test('a consumer of an index holds half as many batches again as requests, and one for the main lane', () => {
  expect([2, 3, 4, 8, 64].map(batchesHeld)).toEqual([4, 5, 7, 13, 97])
})

test('a concurrency of one means one batch after the other', () => {
  expect(batchesHeld(1)).toBe(1)
})

test('the bulk lane alone can keep all requests in flight', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), (concurrency) => {
      expect(mayReadBulk(concurrency - 1, batchesHeld(concurrency))).toBe(true)
    }),
  )
})
