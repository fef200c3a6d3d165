import fc from 'fast-check'
import { expect, test } from 'vitest'

import { countriesFor, readSourceData, spread } from '../../examples/cities/demo/source-data.ts'

test('every city has its country, and coordinates that are numbers', async () => {
  const { cities, countries } = await readSourceData()
  const codes = new Set(countries.map(({ code }) => code))
  expect(cities.length).toBeGreaterThan(150_000)
  expect(codes.size).toBe(countries.length)
  expect(cities.filter(({ country }) => !codes.has(country))).toEqual([])
  expect(
    cities.filter(({ lat, lng }) => !(Math.abs(Number(lat)) <= 90 && Math.abs(Number(lng)) <= 180)),
  ).toEqual([])
})

test('a country code that nobody knows becomes a country of that name', () => {
  const city = { name: 'Nowhere', lat: '0', lng: '0', admin1: '', admin2: '' }
  const known = [{ cca2: 'AD', name: { common: 'Andorra' }, region: 'Europe' }]
  expect(
    countriesFor(
      [
        { ...city, country: 'XX' },
        { ...city, country: 'XX' },
      ],
      known,
    ),
  ).toEqual([
    { code: 'AD', name: 'Andorra', region: 'Europe' },
    { code: 'XX', name: 'XX', region: 'Unknown' },
  ])
})

test('property: a spread has the wanted number of items, each once and in order', () => {
  fc.assert(
    fc.property(fc.nat(200), fc.nat(250), (length, count) => {
      const items = Array.from({ length }, (_, i) => i)
      const some = spread(items, count)
      expect(some.length).toBe(Math.min(length, count))
      expect([...new Set(some)].sort((a, b) => a - b)).toEqual([...some])
    }),
  )
})
