import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { decodePlace, encodePlace, placeOf, unknownPlace, type Place } from '../../src/place.ts'
import { formerPlaces, isSettled } from '../../src/sync/former-places.ts'

const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 5 })
const place: fc.Arbitrary<Place> = fc.oneof(fc.record({ id: text }), fc.record({ id: text, routing: text }))
const row = { id: '7', version: '5', source: '{}' }

test('a place comes back from its text, and the text of an unknown one is that of no place', () => {
  fc.assert(
    fc.property(place, (given) => {
      expect(decodePlace(encodePlace(given))).toEqual(given)
      expect(encodePlace(given)).not.toBe(unknownPlace)
    }),
  )
  expect(decodePlace(unknownPlace)).toBeUndefined()
})

test('an id with a routing is another place than the same id without', () => {
  expect(encodePlace({ id: 'a', routing: 'a' })).not.toBe(encodePlace({ id: 'a' }))
})

describe('whether the index must be asked', () => {
  const here = encodePlace({ id: 'here' })
  test.each([
    ['the row is gone', undefined, [here], false],
    ['no message told', { id: 'here' }, undefined, false],
    ['a message could not tell', { id: 'here' }, [here, unknownPlace], false],
    ['the row has moved', { id: 'here' }, [here, encodePlace({ id: 'there' })], false],
    ['the row stayed', { id: 'here' }, [here], true],
  ])('%s', (_, now, told, settled) => {
    const operation = now === undefined ? row : { ...row, place: now }
    expect(isSettled(operation, told)).toBe(settled)
  })
})

test('deletes go to every former place once, and never to the present one', () => {
  fc.assert(
    fc.property(fc.option(place, { nil: undefined }), fc.array(place), (now, former) => {
      const operation = now === undefined ? row : { ...row, place: now }
      const deletes = formerPlaces(operation, [...former, ...(now === undefined ? [] : [now])])
      const texts = deletes.map((each) => encodePlace(each.place!))
      const wanted = new Set(former.map(encodePlace))
      if (now !== undefined) wanted.delete(encodePlace(now))
      expect(new Set(texts)).toEqual(wanted)
      expect(texts).toHaveLength(wanted.size)
      for (const each of deletes) expect(each).toMatchObject({ id: '7', version: '5', source: undefined })
    }),
  )
})

test('functions that give no text are refused with their name', () => {
  const definition = (options: object) => ({ metadata: { name: 'City' }, options })
  const id = definition({ id: () => 5 as never })
  expect(() => placeOf(id, '7', {})).toThrow('id() of City must give a text, but gave number')
  const routing = definition({ routing: () => undefined as never })
  expect(() => placeOf(routing, '7', {})).toThrow('routing() of City must give a text, but gave undefined')
  expect(placeOf(definition({ routing: () => 'r' }), '7', {})).toEqual({ id: '7', routing: 'r' })
  expect(placeOf(definition({ id: () => 'i' }), 'k'.repeat(600), {})).toEqual({ id: 'i' })
})
