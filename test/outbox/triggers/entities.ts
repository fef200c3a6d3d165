import {
  ChildEntity,
  Column,
  Entity,
  JoinColumn,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  TableInheritance,
} from 'typeorm'

import { Indexed } from '../../../src/indexed.ts'
import { indexNamed } from '../../support/shapes.ts'

@Indexed<Country>({ index: indexNamed('countries'), relations: { cities: true } })
@Entity({ name: 'countries' })
export class Country {
  @PrimaryColumn({ type: 'text' })
  code!: string

  @Column({ type: 'text', default: '' })
  name!: string

  @OneToMany(() => City, (city) => city.country)
  cities!: City[]
}

@Indexed<City>({ index: indexNamed('cities'), relations: { country: true, tags: true } })
@Entity({ name: 'cities' })
export class City {
  @PrimaryGeneratedColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text', default: '' })
  name!: string

  @Column({ type: 'json', nullable: true })
  facts!: unknown

  @ManyToOne(() => Country, (country) => country.cities, {
    onDelete: 'CASCADE',
    onUpdate: 'CASCADE',
    nullable: true,
    deferrable: 'INITIALLY IMMEDIATE',
  })
  @JoinColumn({ name: 'country_code' })
  country!: Country | null

  @ManyToMany(() => Tag)
  @JoinTable({ name: 'city_tags' })
  tags!: Tag[]

  @ManyToOne(() => Tag, { onDelete: 'SET NULL', nullable: true })
  @JoinColumn({ name: 'main_tag' })
  mainTag!: Tag | null
}

@Entity({ name: 'tags' })
export class Tag {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text', default: '' })
  label!: string
}

@Indexed({ index: indexNamed('animals') })
@Entity({ name: 'animals' })
@TableInheritance({ column: { type: 'text', name: 'kind' } })
export class Animal {
  @PrimaryColumn({ type: 'integer' })
  id!: number
}

@ChildEntity('dog')
export class Dog extends Animal {
  @Column({ type: 'text', nullable: true })
  bark!: string | null
}

@ChildEntity('cat')
export class Cat extends Animal {
  @Column({ type: 'integer', nullable: true })
  lives!: number | null
}

export const shop = [Country, City, Tag]
