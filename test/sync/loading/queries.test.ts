import { describe, expect, test } from 'vitest'

import { RedstreamError } from '../../../src/errors.ts'
import { isFaultOfData } from '../../../src/sync/document-loader.ts'
import { keyCondition } from '../../../src/sync/loading/queries.ts'

describe('keyCondition', () => {
  test('one parameter where arrays can be one', () => {
    expect(keyCondition(['t.id'], [[1], ['2'], [3n]], true)).toEqual({
      sql: 't.id = ANY(:keys)',
      parameters: { keys: [1, '2', '3'] },
    })
  })

  test('a list elsewhere', () => {
    expect(keyCondition(['t.id'], [[1], [2]], false)).toEqual({
      sql: 't.id IN (:...keys)',
      parameters: { keys: [1, 2] },
    })
  })

  test('alternatives for composite keys', () => {
    const keys = [
      [1, 'a'],
      [2, 'b'],
    ]
    expect(keyCondition(['t.x', 't.y'], keys, true)).toEqual({
      sql: '(t.x = :k0_0 AND t.y = :k0_1) OR (t.x = :k1_0 AND t.y = :k1_1)',
      parameters: { k0_0: 1, k0_1: 'a', k1_0: 2, k1_1: 'b' },
    })
  })
})

describe('isFaultOfData', () => {
  const database = (driverError: object): RedstreamError =>
    new RedstreamError('DATABASE', 'Reading failed', {
      cause: Object.assign(new Error('x'), { driverError }),
    })

  test.each([
    ['22P02 of PostgreSQL', database({ code: '22P02' }), true],
    ['22007 of MySQL', database({ code: 'ER_TRUNCATED_WRONG_VALUE', sqlState: '22007' }), true],
    ['a missing column', database({ code: '42703' }), false],
    ['a lost connection', database({ code: 'ECONNRESET' }), false],
    [
      'a connection that was never there',
      new RedstreamError('DATABASE', 'x', { cause: new Error('x') }),
      false,
    ],
    ["a listener's error", new Error('x'), true],
  ])('%s: %o', (_, error, expected) => {
    expect(isFaultOfData(error)).toBe(expected)
  })
})
