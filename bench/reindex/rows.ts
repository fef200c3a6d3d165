import type { DataSource } from 'typeorm'

import { readSourceData } from '../../examples/cities/demo/source-data.ts'
import { City } from './place.ts'

const rowsPerInsert = 5_000
const restingEvery = 10

/** The cities of the demo, or made ones. */
export async function citiesOf(wanted: number | undefined): Promise<City[]> {
  if (wanted !== undefined) {
    return Array.from({ length: wanted }, (_, i) => ({
      id: i + 1,
      name: `city number ${i + 1} by the river`,
      country: ['DE', 'FR', 'IT', 'PL'][i % 4]!,
      population: (i * 7_919) % 1_000_000,
    }))
  }
  const { cities } = await readSourceData()
  return cities.map(({ name, country }, i) => ({ id: i + 1, name, country, population: i }))
}

/** Whether nobody writes a row, so that every search for it must find it. */
export function isResting(id: number): boolean {
  return id % restingEvery === 0
}

/** Adds rows that Redstream does not see. */
export async function insertUnseen(dataSource: DataSource, cities: readonly City[]): Promise<void> {
  for (let first = 0; first < cities.length; first += rowsPerInsert) {
    const values = cities.slice(first, first + rowsPerInsert)
    await dataSource.createQueryBuilder().insert().into(City).values(values).execute()
  }
}
