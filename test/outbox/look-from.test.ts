import fc from 'fast-check'
import { expect, test } from 'vitest'

import { LookFrom } from '../../src/outbox/look-from.ts'

test('looks at everything as long as that is quick', () => {
  const from = new LookFrom()
  for (let ms = 0; ms < 60_000; ms += 100) {
    expect(from.at(ms)).toBe(0n)
    from.looked(0n, BigInt(ms), ms, ms + 2)
  }
})

test('begins behind what was taken two seconds ago when looking takes long, and now and then before it', () => {
  const from = new LookFrom()
  let full = 0
  for (let ms = 0; ms < 120_000; ms += 100) {
    const begin = from.at(ms)
    if (begin === 0n) full++
    else expect(ms - Number(begin)).toBeLessThan(2_600)
    from.looked(begin, BigInt(ms), ms, ms + (begin === 0n ? 90 : 1))
  }
  expect(full).toBeGreaterThan(50)
  expect(full).toBeLessThan(300)
})

test('one look that takes long does not put off the next look at everything for ever', () => {
  const from = new LookFrom()
  from.looked(0n, 7n, 0, 60_000)
  from.looked(0n, 8n, 60_000, 63_000)
  expect(from.at(70_000)).toBe(7n)
  expect(from.at(93_000)).toBe(0n)
})

test('never passes over what has come in the last two seconds, and every pause between full looks ends', () => {
  const look = fc.record({
    pauseMs: fc.integer({ min: 0, max: 5_000 }),
    tookMs: fc.integer({ min: 0, max: 1_000 }),
    newest: fc.option(fc.bigInt({ min: 1n, max: 1_000_000n }), { nil: undefined }),
  })
  fc.assert(
    fc.property(fc.array(look, { maxLength: 200 }), (looks) => {
      const from = new LookFrom()
      const found: { atMs: number; id: bigint }[] = []
      let now = 0
      let [lastFullMs, tookLast] = [0, 0]
      for (const { pauseMs, tookMs, newest } of looks) {
        now += pauseMs
        const begin = from.at(now)
        const old = found.filter(({ atMs }) => now - atMs >= 2_000).map(({ id }) => id)
        expect(begin === 0n || old.includes(begin)).toBe(true)
        if (now > lastFullMs + 20 * tookLast) expect(begin).toBe(0n)
        from.looked(begin, newest, now, now + tookMs)
        now += tookMs
        if (begin === 0n) [lastFullMs, tookLast] = [now, tookMs]
        if (newest !== undefined) found.push({ atMs: now, id: newest })
      }
    }),
  )
})
