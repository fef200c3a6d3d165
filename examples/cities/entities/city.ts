import { Indexed } from 'redstream'
import { Column, Entity, JoinColumn, ManyToOne, PrimaryGeneratedColumn } from 'typeorm'

import { Country } from './country.ts'

@Indexed<City>({
  // The prefix keeps the demo apart from what is on a server already; an application of yours just says 'cities'.
  index: `${process.env['CITIES_INDEX_PREFIX'] ?? ''}cities`,
  relations: { country: true },
  document: ({ id, name, lat, lng, admin1, admin2, featured, country }) => ({
    id,
    name,
    location: { lat, lon: lng },
    admin1,
    admin2,
    featured,
    country: { code: country.code, name: country.name, region: country.region },
  }),
  mappings: { properties: { location: { type: 'geo_point' } } },
})
@Entity({ name: 'cities' })
export class City {
  @PrimaryGeneratedColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text' })
  name!: string

  @Column({ type: 'double precision' })
  lat!: number

  @Column({ type: 'double precision' })
  lng!: number

  /** Code of the state or province. */
  @Column({ type: 'text' })
  admin1!: string

  /** Code of the county or district; often empty. */
  @Column({ type: 'text' })
  admin2!: string

  @Column({ type: 'boolean', default: false })
  featured!: boolean

  @ManyToOne(() => Country, { nullable: false })
  @JoinColumn({ name: 'country_code' })
  country!: Country
}
