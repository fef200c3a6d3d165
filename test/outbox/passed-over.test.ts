import { expect, test } from 'vitest'

import { PassedOver } from '../../src/outbox/passed-over.ts'

test('what fails is passed over for pauses that grow to ten seconds, until it succeeds', () => {
  const passedOver = new PassedOver()
  const pauses: number[] = []
  for (let [now, since, pauseCount] = [0, 0, 0]; pauseCount < 7; now += 100) {
    if (passedOver.at(now).length > 0) {
      // The rest of its batch fails at the same time.
      passedOver.failed('a', now)
      continue
    }
    if (now > 0) pauses.push(now - since)
    passedOver.failed('a', now)
    since = now
    pauseCount++
  }
  expect(pauses).toEqual([500, 1_000, 2_000, 4_000, 8_000, 10_000])
  passedOver.published('a')
  expect(passedOver.at(0)).toEqual([])
})
