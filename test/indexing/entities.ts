import { DataSource, type ObjectLiteral } from 'typeorm'
import {
  Column,
  CreateDateColumn,
  DeleteDateColumn,
  Entity,
  JoinColumn,
  ManyToMany,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  UpdateDateColumn,
  VersionColumn,
} from 'typeorm'

import type { IndexDefinition, IndexedOptions } from '../../src/indexed.ts'
import type { TestSpace } from '../support/services.ts'

@Entity({ name: 'country' })
export class Country {
  @PrimaryColumn({ type: 'char', length: 2 })
  code!: string

  @Column({ type: 'varchar' })
  name!: string

  @OneToMany(() => Shop, (shop) => shop.address.country)
  shops!: Shop[]
}

@Entity({ name: 'tag' })
export class Tag {
  @PrimaryGeneratedColumn({ type: 'bigint' })
  id!: string

  @Column({ type: 'varchar' })
  label!: string

  @ManyToOne(() => Country)
  origin!: Country | null
}

export class Address {
  @Column({ type: 'varchar', name: 'street_line' })
  street!: string

  @ManyToOne(() => Country, (country) => country.shops)
  @JoinColumn({ name: 'country_code' })
  country!: Country | null
}

/** A relation in an embedded entity, to-many relations, columns that are not loaded. */
@Entity({ name: 'shop' })
export class Shop {
  @PrimaryColumn({ type: 'uuid' })
  id!: string

  @Column({ type: 'varchar', name: 'display_name' })
  name!: string

  @Column({ type: 'varchar', select: false })
  secret!: string

  @Column(() => Address)
  address!: Address

  @ManyToMany(() => Tag)
  tags!: Tag[]

  @ManyToOne(() => Shop, (shop) => shop.branches)
  parent!: Shop | null

  @OneToMany(() => Shop, (shop) => shop.parent)
  branches!: Shop[]
}

/** Every column type of PostgreSQL that TypeORM knows and that needs no extension. */
@Entity({ name: 'sample' })
export class Sample {
  @PrimaryGeneratedColumn({ type: 'bigint' })
  id!: string

  @Column({ type: String })
  string!: string

  @Column({ type: Number })
  number!: number

  @Column({ type: Boolean })
  bool!: boolean

  @Column({ type: Date })
  date!: Date

  @Column({ type: 'varchar', length: 40 })
  varchar!: string

  @Column({ type: 'text' })
  text!: string

  @Column({ type: 'uuid' })
  uuid!: string

  @Column({ type: 'enum', enum: ['red', 'green'] })
  colour!: string

  @Column({ type: 'simple-enum', enum: ['a', 'b'] })
  simpleEnum!: string

  @Column({ type: 'smallint' })
  smallint!: number

  @Column({ type: 'int4' })
  int4!: number

  @Column({ type: 'int8' })
  int8!: string

  @Column({ type: 'real' })
  real!: number

  @Column({ type: 'float8' })
  float8!: number

  @Column({ type: 'numeric' })
  numeric!: string

  @Column({ type: 'numeric', precision: 10, scale: 2 })
  price!: string

  @Column({ type: 'decimal', precision: 18 })
  digits!: string

  @Column({ type: 'decimal', precision: 30, scale: 10 })
  wide!: string

  @Column({ type: 'money' })
  money!: string

  @Column({ type: 'date' })
  day!: string

  @Column({ type: 'timestamptz' })
  instant!: Date

  @Column({ type: 'time' })
  time!: string

  @Column({ type: 'timetz' })
  timetz!: string

  @Column({ type: 'interval' })
  interval!: unknown

  @Column({ type: 'jsonb' })
  jsonb!: unknown

  @Column({ type: 'json' })
  json!: unknown

  @Column({ type: 'simple-json' })
  simpleJson!: unknown

  @Column({ type: 'simple-array' })
  simpleArray!: string[]

  @Column({ type: 'text', array: true })
  texts!: string[]

  @Column({ type: 'integer', array: true })
  integers!: number[]

  @Column({ type: 'int8', array: true })
  bigints!: string[]

  @Column({ type: 'numeric', array: true })
  numerics!: number[]

  @Column({ type: 'timestamptz', array: true })
  instants!: Date[]

  @Column({ type: 'enum', enum: ['x', 'y'], array: true })
  enums!: string[]

  @Column({ type: 'bytea' })
  bytes!: Buffer

  @Column({ type: 'point' })
  point!: unknown

  @Column({ type: 'circle' })
  circle!: unknown

  @Column({ type: 'polygon' })
  polygon!: string

  @Column({ type: 'box' })
  box!: string

  @Column({ type: 'bit', length: '4' })
  bit!: string

  @Column({ type: 'inet' })
  inet!: string

  @Column({ type: 'cidr' })
  cidr!: string

  @Column({ type: 'macaddr' })
  macaddr!: string

  @Column({ type: 'int4range' })
  range!: string

  @Column({ type: 'tsvector' })
  words!: string

  @Column({ type: 'xml' })
  xml!: string

  @CreateDateColumn()
  createdAt!: Date

  @UpdateDateColumn()
  updatedAt!: Date

  @DeleteDateColumn()
  deletedAt!: Date | null

  @VersionColumn()
  version!: number
}

export const sampleValues = {
  string: 'Straße',
  number: 7,
  bool: true,
  date: new Date('2020-01-02T03:04:05.678Z'),
  varchar: 'Zürich',
  text: 'A long text',
  uuid: '1b4e28ba-2fa1-11d2-883f-0016d3cca427',
  colour: 'red',
  simpleEnum: 'b',
  smallint: -32768,
  int4: 2147483647,
  int8: '9223372036854775807',
  real: 0.1,
  float8: 1.5e300,
  numeric: '12345678901234567890.123456789',
  price: '19.90',
  digits: '123456789012345678',
  wide: '12345678901234567890.1234567891',
  money: '12.50',
  day: '2024-02-29',
  instant: new Date('9999-12-31T23:59:59.000-05:00'),
  time: '01:02:03',
  timetz: '01:02:03+02',
  interval: '1 year 2 days 03:04:05.5',
  jsonb: { colour: 'red', sizes: [1, 2], deep: { yes: true } },
  json: [{ a: 1 }, { a: 2 }],
  simpleJson: { a: 'b' },
  simpleArray: ['one', 'two'],
  texts: ['three', 'four'],
  integers: [1, 2],
  bigints: ['9007199254740993'],
  numerics: [1.5],
  instants: [new Date('2021-01-01T00:00:00.000Z')],
  enums: ['x', 'y'],
  bytes: Buffer.from([0, 255, 1]),
  point: '(1,2)',
  circle: '<(1,2),3>',
  polygon: '((0,0),(1,1),(1,0))',
  box: '(1,1),(0,0)',
  bit: '1010',
  inet: '10.0.0.0/8',
  cidr: '10.1.0.0/16',
  macaddr: '08:00:2b:01:02:03',
  range: '[1,5)',
  words: "'cat' 'dog'",
  xml: '<a>b</a>',
}

/** A connected DataSource with the given entities and their tables in the space's schema. */
export async function connected(
  space: TestSpace,
  entities: (abstract new () => ObjectLiteral)[],
): Promise<DataSource> {
  return await new DataSource({
    ...space.dataSourceOptions(entities as never),
    synchronize: true,
  }).initialize()
}

export function definitionOf(
  dataSource: DataSource,
  entity: abstract new () => ObjectLiteral,
  name: string,
  options: IndexedOptions = {},
): IndexDefinition {
  return { name, stream: name, partitions: 1, metadata: dataSource.getMetadata(entity), options }
}
