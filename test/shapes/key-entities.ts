import {
  Column,
  Entity,
  JoinColumn,
  OneToOne,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  type Relation,
} from 'typeorm'

import { Indexed } from '../../src/indexed.ts'
import { indexNamed } from '../support/shapes.ts'

/** One indexed entity for each kind of primary key. Each has a column `name`. */

export interface Named {
  name: string
}

@Indexed<Composite>({ index: indexNamed('composite') })
@Entity()
export class Composite implements Named {
  @PrimaryColumn({ type: 'int' })
  shop!: number

  @PrimaryColumn({ type: 'varchar' })
  sku!: string

  @Column({ type: 'text' })
  name!: string
}

@Indexed<Big>({ index: indexNamed('big') })
@Entity()
export class Big implements Named {
  @PrimaryGeneratedColumn({ type: 'bigint' })
  id!: string

  @Column({ type: 'text' })
  name!: string
}

@Indexed<Uuid>({ index: indexNamed('uuid') })
@Entity()
export class Uuid implements Named {
  @PrimaryGeneratedColumn('uuid')
  id!: string

  @Column({ type: 'text' })
  name!: string
}

export class Coordinates {
  @PrimaryColumn({ type: 'int' })
  x!: number

  @PrimaryColumn({ type: 'int' })
  y!: number
}

@Indexed<EmbeddedKey>({ index: indexNamed('embedded') })
@Entity()
export class EmbeddedKey implements Named {
  @Column(() => Coordinates)
  at!: Coordinates

  @Column({ type: 'text' })
  name!: string
}

@Entity()
export class Owner {
  @PrimaryGeneratedColumn({ type: 'int' })
  id!: number
}

/** Its primary key is the foreign key of a relation. */
@Indexed<RelationKey>({ index: indexNamed('relation') })
@Entity()
export class RelationKey implements Named {
  @PrimaryColumn({ type: 'int' })
  ownerId!: number

  @OneToOne(() => Owner)
  @JoinColumn({ name: 'ownerId' })
  owner!: Relation<Owner>

  @Column({ type: 'text' })
  name!: string
}

const prefixed = {
  to: (value: unknown): unknown => (typeof value === 'string' ? Number(value.replace('P-', '')) : value),
  from: (value: number): string => `P-${value}`,
}

// The derived field is that of the column, an integer, and a document has what the transformer makes of it.
@Indexed<Transformed>({
  index: indexNamed('transformed'),
  mappings: { properties: { id: { type: 'keyword' } } },
})
@Entity()
export class Transformed implements Named {
  @PrimaryColumn({ type: 'int', transformer: prefixed })
  id!: string

  @Column({ type: 'text' })
  name!: string
}

@Indexed<TextKey>({ index: indexNamed('text') })
@Entity()
export class TextKey implements Named {
  @PrimaryColumn({ type: 'text' })
  id!: string

  @Column({ type: 'text' })
  name!: string
}

/** Two long parts together are no `_id`. */
@Indexed<LongParts>({ index: indexNamed('long-parts') })
@Entity()
export class LongParts implements Named {
  @PrimaryColumn({ type: 'text' })
  a!: string

  @PrimaryColumn({ type: 'text' })
  b!: string

  @Column({ type: 'text' })
  name!: string
}

export const keyEntities = [
  Composite,
  Big,
  Uuid,
  EmbeddedKey,
  Owner,
  RelationKey,
  Transformed,
  TextKey,
  LongParts,
]
