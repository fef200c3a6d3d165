import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm'

import { Indexed, type IndexedOptions } from '../../src/indexed.ts'

export interface CityRow {
  id: number
  name: string
  population: number
}

/** A fresh entity class `City` with a generated key, indexed as `<prefix>cities`. */
export function cityEntity(prefix: string, options: IndexedOptions<CityRow> = {}): new () => CityRow {
  @Indexed<City>({ index: `${prefix}cities`, ...options })
  @Entity({ name: 'cities' })
  class City implements CityRow {
    @PrimaryGeneratedColumn({ type: 'integer' })
    id!: number

    @Column({ type: 'text' })
    name!: string

    @Column({ type: 'integer', default: 0 })
    population!: number
  }
  return City
}
