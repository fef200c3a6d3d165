import fc from 'fast-check'
import { expect, test } from 'vitest'

import { randomOf } from './random.ts'

const draws = (seed: number, actor: string): number[] => {
  const random = randomOf(seed, actor)
  return Array.from({ length: 20 }, () => random.next())
}

test('the same seed gives the same decisions, another seed or actor others', () => {
  fc.assert(
    fc.property(fc.nat(), fc.string(), (seed, actor) => {
      expect(draws(seed, actor)).toEqual(draws(seed, actor))
      expect(draws(seed, actor)).not.toEqual(draws(seed + 1, actor))
      expect(draws(seed, actor)).not.toEqual(draws(seed, `${actor}'`))
    }),
  )
})

test('numbers stay in their range and use all of it', () => {
  const random = randomOf(1, 'range')
  const drawn = Array.from({ length: 1_000 }, () => random.below(10))
  expect(new Set(drawn)).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]))
  for (const number of Array.from({ length: 1_000 }, () => random.between(3, 4))) {
    expect(number).toBeGreaterThanOrEqual(3)
    expect(number).toBeLessThan(4)
  }
})

test('weights: what has none never comes, the others about as often as they say', () => {
  const random = randomOf(1, 'weights')
  const tally = { often: 0, seldom: 0, never: 0 }
  for (let i = 0; i < 10_000; i++) tally[random.weighted({ often: 9, never: 0, seldom: 1 })]++
  expect(tally.never).toBe(0)
  expect(tally.seldom).toBeGreaterThan(800)
  expect(tally.seldom).toBeLessThan(1_200)
})
