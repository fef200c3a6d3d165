import {
  Column,
  DeleteDateColumn,
  Entity,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  VersionColumn,
  type Relation,
} from 'typeorm'

import { Indexed } from '../../src/indexed.ts'

/** Fresh classes, whose streams are named with a prefix. */
export function exactEntities(prefix: string) {
  @Entity({ name: 'countries' })
  class Country {
    @PrimaryColumn({ type: 'text' })
    code!: string

    @Column({ type: 'text' })
    name!: string

    @OneToMany(() => City, (city) => city.country)
    cities!: Relation<City>[]
  }

  @Indexed<City>({ index: `${prefix}cities` })
  @Entity({ name: 'cities' })
  class City {
    @PrimaryGeneratedColumn({ type: 'integer' })
    id!: number

    @Column({ type: 'text' })
    name!: string

    @Column({ type: 'integer', default: 0 })
    population!: number

    @ManyToOne(() => Country, { nullable: true })
    country!: Relation<Country> | null

    @DeleteDateColumn({ type: 'timestamptz' })
    deletedAt!: Date | null

    @VersionColumn({ type: 'integer' })
    version!: number

    @OneToMany(() => Visit, (visit) => visit.city)
    visits!: Relation<Visit>[]
  }

  @Indexed<Visit>({ index: `${prefix}visits`, payload: ({ day }) => ({ day }) })
  @Entity({ name: 'visits' })
  class Visit {
    @PrimaryColumn({ type: 'integer' })
    number!: number

    @PrimaryColumn({ type: 'text' })
    day!: string

    @ManyToOne(() => City, { onDelete: 'CASCADE', nullable: true })
    city!: Relation<City> | null

    @ManyToOne(() => Country, { onDelete: 'SET NULL', nullable: true })
    from!: Relation<Country> | null
  }

  /** Whose changes nobody follows. */
  @Entity({ name: 'notes' })
  class Note {
    @PrimaryColumn({ type: 'integer' })
    id!: number
  }
  return { Country, City, Visit, Note }
}
