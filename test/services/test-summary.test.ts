import { expect, test } from 'vitest'

import { summarise } from '../../scripts/test-summary.ts'

test('the last line counts, skipped tests stand above it with their reasons', () => {
  expect(
    summarise(
      [
        { name: 'a', state: 'passed' },
        { name: 'b', state: 'failed' },
        { name: 'c', state: 'skipped', reason: 'needs Docker' },
        { name: 'd', state: 'skipped' },
      ],
      0,
    ),
  ).toEqual(['skipped: c (needs Docker)', 'skipped: d (no reason given)', '1 passed, 1 failed'])
})

test('errors outside of any test make the last line a bad one', () => {
  expect(summarise([{ name: 'a', state: 'passed' }], 2)).toEqual([
    'errors outside of any test, counted as failed: 2',
    '1 passed, 2 failed',
  ])
})
