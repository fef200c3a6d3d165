import {
  ChildEntity,
  Column,
  type DataSource,
  Entity,
  JoinColumn,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  OneToOne,
  PrimaryColumn,
  type Relation,
  TableInheritance,
} from 'typeorm'

import { Indexed } from '../../src/indexed.ts'

/** Deep and crooked relations: four hops, composite keys, other keys than the primary one, trees, inheritance. */

const indexIn = (name: string) => (dataSource: DataSource) =>
  `${(dataSource.options as { schema?: string }).schema ?? ''}-${name}`

@Entity()
export class Language {
  @PrimaryColumn({ type: 'text' })
  code!: string

  @Column({ type: 'text' })
  name!: string
}

@Entity()
export class Facet {
  @PrimaryColumn({ type: 'text' })
  area!: string

  @PrimaryColumn({ type: 'integer' })
  number!: number

  @OneToMany(() => FacetValue, (value) => value.facet)
  values!: Relation<FacetValue>[]
}

@Entity()
export class FacetValue {
  @PrimaryColumn({ type: 'uuid' })
  id!: string

  @Column({ type: 'text', unique: true })
  slug!: string

  @ManyToOne(() => Facet, (facet) => facet.values)
  facet!: Relation<Facet> | null

  @OneToMany(() => Translation, (translation) => translation.value)
  translations!: Relation<Translation>[]
}

/** Its foreign key refers to a column that is not the primary key. */
@Entity()
export class Translation {
  @PrimaryColumn({ type: 'bigint' })
  id!: string

  @Column({ type: 'text' })
  text!: string

  @ManyToOne(() => FacetValue, (value) => value.translations)
  @JoinColumn({ name: 'value_slug', referencedColumnName: 'slug' })
  value!: Relation<FacetValue> | null

  @ManyToOne(() => Language)
  language!: Relation<Language> | null
}

@Indexed<Variant>({
  index: indexIn('variants'),
  relations: { facets: { values: { translations: { language: true } } }, badge: true },
  partitions: 3,
})
@Entity()
export class Variant {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @ManyToMany(() => Facet)
  @JoinTable()
  facets!: Relation<Facet>[]

  @OneToOne(() => Badge, (badge) => badge.variant)
  badge!: Relation<Badge> | null
}

@Entity()
@TableInheritance({ column: { type: 'text', name: 'kind' } })
export class Badge {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @OneToOne(() => Variant, (variant) => variant.badge)
  @JoinColumn()
  variant!: Relation<Variant> | null
}

@ChildEntity()
export class GoldBadge extends Badge {
  @Column({ type: 'integer', default: 24 })
  carat!: number
}

/** A tree whose documents hold the node above and those below. */
@Indexed<Knot>({ index: indexIn('knots'), relations: { parent: true, children: true } })
@Entity()
export class Knot {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text', default: '' })
  name!: string

  @ManyToOne(() => Knot, (knot) => knot.children)
  parent!: Relation<Knot> | null

  @OneToMany(() => Knot, (knot) => knot.parent)
  children!: Relation<Knot>[]
}

export const facets = [Language, Facet, FacetValue, Translation, Variant, Badge, GoldBadge, Knot]
