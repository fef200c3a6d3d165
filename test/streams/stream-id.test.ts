import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import {
  compareStreamIds,
  nextStreamId,
  parseStreamId,
  smallerStreamId,
  streamIdMs,
  type StreamId,
} from '../../src/streams/stream-id.ts'

const largest = 2n ** 64n - 1n
const part = fc.oneof(
  fc.bigInt({ min: 0n, max: largest }),
  fc.bigInt({ min: 0n, max: 20n }),
  fc.constantFrom(largest, largest - 1n, 2n ** 53n, 2n ** 53n + 1n),
)
const pair = fc.tuple(part, part)
const idOf = ([ms, sequence]: readonly [bigint, bigint]): StreamId => `${ms}-${sequence}` as StreamId
/** Both numbers as one, so that the order is that of integers. */
const valueOf = ([ms, sequence]: readonly [bigint, bigint]): bigint => ms * 2n ** 64n + sequence

test('ids are compared as numbers, not as text: "9-0" is before "10-0"', () => {
  expect(compareStreamIds('9-0', '10-0')).toBeLessThan(0)
  expect(compareStreamIds('5-10', '5-9')).toBeGreaterThan(0)
  expect(smallerStreamId('10-0', '9-0')).toBe('9-0')
  expect(['10-0', '9-2', '9-11'].sort((a, b) => compareStreamIds(a as StreamId, b as StreamId))).toEqual([
    '9-2',
    '9-11',
    '10-0',
  ])
})

test('the order is that of pairs of 64-bit integers', () => {
  fc.assert(
    fc.property(pair, pair, (a, b) => {
      const difference = valueOf(a) - valueOf(b)
      const sign = difference < 0n ? -1 : difference > 0n ? 1 : 0
      expect(Math.sign(compareStreamIds(idOf(a), idOf(b)))).toBe(sign)
      expect(smallerStreamId(idOf(a), idOf(b))).toBe(sign <= 0 ? idOf(a) : idOf(b))
    }),
  )
})

test('the next id is the immediate successor', () => {
  fc.assert(
    fc.property(pair, (id) => {
      fc.pre(valueOf(id) < valueOf([largest, largest]))
      const [ms, sequence] = nextStreamId(idOf(id)).split('-').map(BigInt)
      expect(valueOf([ms!, sequence!])).toBe(valueOf(id) + 1n)
    }),
  )
})

test('a missing sequence is 0, and what is no id is refused', () => {
  expect(parseStreamId('1767225600000')).toBe('1767225600000-0')
  expect(parseStreamId('1767225600000-3')).toBe('1767225600000-3')
  for (const text of ['', '-', '1-', '-1', '1-2-3', 'a-1', '1.5-0', ' 1-0', '1-0\n', '+', '1e3-0']) {
    expect(() => parseStreamId(text), JSON.stringify(text)).toThrow(TypeError)
  }
})

test('an id tells the millisecond in which it was made', () => {
  expect(streamIdMs('1767225600123-7')).toBe(1_767_225_600_123)
})
