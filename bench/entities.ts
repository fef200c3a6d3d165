import { EntitySchema } from 'typeorm'

import { Indexed } from '../src/indexed.ts'

/** A small row: about 200 bytes of document. */
export class City {
  id!: number
  name!: string
  country!: string
  latitude!: number
  longitude!: number
  population!: number
}

/** The same without `document()`: a document that the database makes. */
export class Place {
  id!: number
  name!: string
  country!: string
  latitude!: number
  longitude!: number
  population!: number
}

export class Brand {
  id!: number
  name!: string
}

export class Category {
  id!: number
  name!: string
}

/** A wide row: thirty columns and two relations. */
export class Product {
  id!: number
  brand!: Brand
  categories!: Category[];
  [column: string]: unknown
}

/** Whose streams and indices these are: several runs may share the servers. */
export const space = process.env['BENCH_SPACE'] ?? 'bench'
/** Of each stream. */
export const partitions = Number(process.env['BENCH_PARTITIONS'] ?? '1')
/** Of what captures changes in the database, where it does. */
export const captureSchema = `${space}_capture`

// Plain TypeScript has no decorators: schemas, and the decorator as a function.
Indexed<City>({
  index: `${space}-cities`,
  partitions,
  document: ({ name, country, latitude, longitude, population }) => ({
    name,
    country,
    location: { latitude, longitude },
    population,
  }),
})(City)
Indexed<Place>({ index: `${space}-places`, partitions })(Place)
Indexed<Product>({ index: `${space}-products`, partitions, relations: { brand: true, categories: true } })(
  Product,
)

export const textColumns = Array.from({ length: 12 }, (_, i) => `text${i}`)
export const numberColumns = Array.from({ length: 12 }, (_, i) => `number${i}`)
export const dateColumns = Array.from({ length: 4 }, (_, i) => `date${i}`)

const id = { type: 'integer', primary: true, generated: true } as const

const cityColumns = {
  id,
  name: { type: 'text' },
  country: { type: 'text' },
  latitude: { type: 'double precision' },
  longitude: { type: 'double precision' },
  population: { type: 'integer' },
} as const
const city = new EntitySchema<City>({ name: 'City', target: City, tableName: 'cities', columns: cityColumns })
const place = new EntitySchema<Place>({
  name: 'Place',
  target: Place,
  tableName: 'places',
  columns: cityColumns,
})
const brand = new EntitySchema<Brand>({
  name: 'Brand',
  target: Brand,
  tableName: 'brands',
  columns: { id, name: { type: 'text' } },
})
const category = new EntitySchema<Category>({
  name: 'Category',
  target: Category,
  tableName: 'categories',
  columns: { id, name: { type: 'text' } },
})
const product = new EntitySchema<Product>({
  name: 'Product',
  target: Product,
  tableName: 'products',
  columns: {
    id,
    ...Object.fromEntries(textColumns.map((name) => [name, { type: 'text' as const }])),
    ...Object.fromEntries(numberColumns.map((name) => [name, { type: 'integer' as const }])),
    ...Object.fromEntries(dateColumns.map((name) => [name, { type: 'timestamptz' as const }])),
  },
  relations: {
    brand: { type: 'many-to-one', target: 'Brand' },
    categories: { type: 'many-to-many', target: 'Category', joinTable: { name: 'product_categories' } },
  },
})

export const entities = [city, place, brand, category, product]
