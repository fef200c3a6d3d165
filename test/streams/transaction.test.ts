import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import {
  fateOfDelayed,
  partsOfTransaction,
  suspectsAfter,
  transactionText,
} from '../../src/streams/transaction.ts'

const second = 1_000

test('a committed transaction is re-queued and an aborted one dropped, whatever the age', () => {
  const age = fc.nat({ max: 10_000 * second })
  fc.assert(
    fc.property(age, age, (ageMs, delayMs) => {
      expect(fateOfDelayed('committed', ageMs, delayMs)).toBe('requeue')
      expect(fateOfDelayed('aborted', ageMs, delayMs)).toBe('discard')
    }),
  )
})

test('an open transaction is left alone, however old; what nobody knows goes by its age', () => {
  expect(fateOfDelayed('in progress', 1e12, second)).toBe('leave')
  expect(fateOfDelayed('unknown', 999, second)).toBe('leave')
  expect(fateOfDelayed('unknown', 1_000, second)).toBe('requeue')
})

test('no transaction without an id is taken for ended while it is open', () => {
  // Which transactions are open at each look; the one in question is among them until it ends.
  const name = fc.constantFrom('a', 'b', 'c', 'd')
  const looks = fc.array(fc.uniqueArray(name), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(looks, fc.nat({ max: 8 }), fc.nat({ max: 3 }), (all, ends, blind) => {
      let suspects: ReadonlySet<string> | undefined
      all.forEach((others, i) => {
        const names = new Set(i < ends ? [...others, 'mine'] : others)
        const look = i % 4 === blind ? undefined : { cluster: 'c', names }
        suspects = suspectsAfter('c:', suspects, look)
        if (i < ends) expect(suspects?.size).not.toBe(0)
        for (const one of look === undefined ? [] : suspects!) expect([...others, 'mine']).toContain(one)
      })
    }),
  )
})

test('what another cluster says of its transactions changes nothing', () => {
  const open = { cluster: 'another', names: new Set<string>() }
  expect(suspectsAfter('c:', undefined, open)).toBeUndefined()
  expect(suspectsAfter('c:', new Set(['1/1']), open)).toEqual(new Set(['1/1']))
})

test('the text of a transaction has both parts, whatever names the cluster', () => {
  fc.assert(
    fc.property(fc.string(), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (cluster, id) => {
      expect(partsOfTransaction(transactionText(cluster, String(id)))).toEqual({ cluster, id: String(id) })
    }),
  )
})
