import { describe, expect, test } from 'vitest'

import { RedstreamError } from '../../../src/errors.ts'
import { isFaultOfData } from '../../../src/sync/document-loader.ts'

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
