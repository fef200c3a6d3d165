import fc from 'fast-check'
import { expect, it } from 'vitest'

import { latestMsOf, offsetOf, resolutionOf } from '../../src/audit/clocks.ts'

it('holds the true offset, however long the answers take', () => {
  const reading = fc.record({ wait: fc.nat(50), database: fc.nat(1_000), back: fc.nat(50) })
  fc.assert(
    fc.property(
      fc.integer({ min: -5_000, max: 5_000 }),
      fc.array(reading, { minLength: 1 }),
      (ahead, taken) => {
        const { least, most } = offsetOf(
          taken.map(({ wait, database, back }) => ({
            before: database + ahead - wait,
            database,
            after: database + ahead + back,
          })),
        )
        expect(least).toBeLessThanOrEqual(ahead)
        expect(most).toBeGreaterThanOrEqual(ahead)
      },
    ),
  )
})

it('takes the reading that took the shortest time', () => {
  const readings = [
    { before: 100, database: 50, after: 190 },
    { before: 200, database: 110, after: 202 },
  ]
  expect(offsetOf(readings)).toEqual({ least: 90, most: 92 })
})

it('never takes a message for older than it is', () => {
  // Redis is 100 ms ahead, give or take 10, and has cut off the fraction of 1234.9.
  const offset = { least: 90, most: 110 }
  expect(latestMsOf('1234-7', offset)).toBeGreaterThanOrEqual(1234.9 - 90)
  expect(resolutionOf([{ least: 0, most: 1 }, offset])).toBeGreaterThanOrEqual(20)
})
