import { DataSource, EntitySchema, type DataSourceOptions } from 'typeorm'

import { Indexed } from '../../src/indexed.ts'

/** Not indexed itself: the documents of shops hold it. */
export class Owner {
  id!: number
  name!: string
}

/** In the documents of shops by a junction table. */
export class Tag {
  id!: number
  name!: string
  shops!: Shop[]
}

/** Soft-deleted; its document holds everything around it. */
export class Shop {
  id!: number
  name!: string
  visits!: number
  deletedAt!: Date | null
  owner!: Owner | null
  tags!: Tag[]
  offers!: Offer[]
  photos!: Photo[]
}

/** Stays without a shop when its shop is saved without it; goes with the row of its shop. */
export class Offer {
  id!: number
  article!: string
  cents!: number
  shop!: Shop | null
}

/** Goes when its shop is saved without it; the application chooses its key. */
export class Photo {
  file!: string
  shop!: Shop
}

/** A composite key that the application chooses. */
export class Booking {
  room!: string
  day!: number
  guest!: string
}

/** The indices of the application. */
export const indexNames = ['shops', 'bookings'] as const
export type IndexName = (typeof indexNames)[number]

/** The alias of an index. Tests run side by side, each in a schema of its own. */
export function aliasOf(schema: string, name: IndexName): string {
  return `${schema}-${name}`
}

const aliasIn =
  (name: IndexName) =>
  ({ options }: DataSource): string =>
    aliasOf((options as { schema: string }).schema, name)

Indexed<Shop>({
  index: aliasIn('shops'),
  relations: { owner: true, tags: true, offers: true, photos: true },
  partitions: 2,
})(Shop)
Indexed<Booking>({ index: aliasIn('bookings') })(Booking)

const generated = { type: 'integer', primary: true, generated: 'increment' } as const

// Not decorators: Node runs this file as it is, in the processes that are killed.
export const entities: EntitySchema[] = [
  new EntitySchema<Owner>({
    name: 'Owner',
    target: Owner,
    tableName: 'owners',
    columns: { id: generated, name: { type: 'text' } },
  }),
  new EntitySchema<Tag>({
    name: 'Tag',
    target: Tag,
    tableName: 'tags',
    columns: { id: generated, name: { type: 'text' } },
    relations: { shops: { type: 'many-to-many', target: () => Shop, inverseSide: 'tags' } },
  }),
  new EntitySchema<Shop>({
    name: 'Shop',
    target: Shop,
    tableName: 'shops',
    columns: {
      id: generated,
      name: { type: 'text' },
      visits: { type: 'integer', default: 0 },
      deletedAt: { type: 'timestamptz', deleteDate: true, nullable: true },
    },
    checks: [{ expression: '"visits" >= 0' }],
    relations: {
      owner: { type: 'many-to-one', target: () => Owner, nullable: true, onDelete: 'SET NULL' },
      tags: {
        type: 'many-to-many',
        target: () => Tag,
        inverseSide: 'shops',
        joinTable: { name: 'shop_tags', joinColumn: { name: 'shop' }, inverseJoinColumn: { name: 'tag' } },
      },
      offers: { type: 'one-to-many', target: () => Offer, inverseSide: 'shop', cascade: true },
      photos: { type: 'one-to-many', target: () => Photo, inverseSide: 'shop', cascade: true },
    },
  }),
  new EntitySchema<Offer>({
    name: 'Offer',
    target: Offer,
    tableName: 'offers',
    columns: { id: generated, article: { type: 'text' }, cents: { type: 'integer' } },
    relations: {
      shop: {
        type: 'many-to-one',
        target: () => Shop,
        inverseSide: 'offers',
        nullable: true,
        onDelete: 'CASCADE',
        onUpdate: 'CASCADE',
      },
    },
    indices: [{ columns: ['shop'] }],
  }),
  new EntitySchema<Photo>({
    name: 'Photo',
    target: Photo,
    tableName: 'photos',
    columns: { file: { type: 'text', primary: true } },
    relations: {
      shop: {
        type: 'many-to-one',
        target: () => Shop,
        inverseSide: 'photos',
        onDelete: 'CASCADE',
        onUpdate: 'CASCADE',
        orphanedRowAction: 'delete',
      },
    },
    indices: [{ columns: ['shop'] }],
  }),
  new EntitySchema<Booking>({
    name: 'Booking',
    target: Booking,
    tableName: 'bookings',
    columns: {
      room: { type: 'text', primary: true },
      day: { type: 'integer', primary: true },
      guest: { type: 'text' },
    },
  }),
]

type PostgresOptions = Extract<DataSourceOptions, { type: 'postgres' }>

/** A DataSource of an application, of which several may be open. */
export function shopDatabase(url: string, schema: string, more: Partial<PostgresOptions> = {}): DataSource {
  return new DataSource({
    type: 'postgres',
    url,
    schema,
    entities,
    // Raw SQL names its tables without the schema.
    extra: { options: `-c search_path=${schema}` },
    ...more,
  })
}
