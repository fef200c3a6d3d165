import { expect, test } from 'vitest'

import { summarise, worthAnotherTry } from '../../scripts/test-summary.ts'

test('the last line counts, skipped and flaky tests stand above it', () => {
  expect(
    summarise(
      [
        { name: 'a', state: 'passed' },
        { name: 'b', state: 'failed' },
        { name: 'c', state: 'skipped', reason: 'needs Docker' },
        { name: 'd', state: 'skipped' },
        { name: 'e', state: 'passed', isFlaky: true },
      ],
      0,
    ),
  ).toEqual([
    'skipped: c (needs Docker)',
    'skipped: d (no reason given)',
    'passed only at the second attempt: e',
    '2 passed, 1 failed',
  ])
})

test('errors outside of any test make the last line a bad one', () => {
  expect(summarise([{ name: 'a', state: 'passed' }], 2)).toEqual([
    'errors outside of any test, counted as failed: 2',
    '1 passed, 2 failed',
  ])
})

test('a few failed files are tried again, a broken state is not', () => {
  expect(worthAnotherTry(0, 300)).toBe(false)
  expect(worthAnotherTry(1, 1)).toBe(true)
  expect(worthAnotherTry(15, 300)).toBe(true)
  expect(worthAnotherTry(16, 300)).toBe(false)
})
