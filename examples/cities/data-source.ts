import { DataSource } from 'typeorm'

import { City } from './entities/city.ts'
import { Country } from './entities/country.ts'

export const dataSource = new DataSource({
  type: 'postgres',
  url: process.env['DATABASE_URL'] ?? 'postgres://postgres:postgres@127.0.0.1:5432/postgres',
  schema: process.env['CITIES_SCHEMA'] ?? 'public',
  entities: [Country, City],
})
