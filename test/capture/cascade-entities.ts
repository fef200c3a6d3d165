import {
  ChildEntity,
  Column,
  DeleteDateColumn,
  Entity,
  EntitySchema,
  JoinColumn,
  JoinTable,
  ManyToMany,
  ManyToOne,
  PrimaryColumn,
  TableInheritance,
  type Relation,
} from 'typeorm'

/** Tables that hang from each other in every way in which PostgreSQL changes rows by itself. */

@Entity({ name: 'regions' })
export class Region {
  @PrimaryColumn({ type: 'text' })
  country!: string

  @PrimaryColumn({ type: 'integer' })
  code!: number
}

/** Two foreign keys, one of them composite. */
@Entity({ name: 'towns' })
export class Town {
  @PrimaryColumn({ type: 'bigint' })
  id!: string

  @ManyToOne(() => Region, { onDelete: 'CASCADE', nullable: true })
  region!: Relation<Region> | null

  // The constraint's default is that of the column: NULL.
  @ManyToOne(() => Region, { onDelete: 'SET DEFAULT' as 'SET NULL', nullable: true })
  formerRegion!: Relation<Region> | null
}

/** A tree that refers to itself, soft-deleted rows included. */
@Entity({ name: 'nodes' })
export class Node {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @ManyToOne(() => Node, { onDelete: 'CASCADE', nullable: true })
  @JoinColumn({ name: 'parent_id' })
  parent!: Relation<Node> | null

  @DeleteDateColumn({ type: 'timestamptz' })
  deletedAt!: Date | null
}

@Entity({ name: 'owners' })
@TableInheritance({ column: { type: 'text', name: 'kind' } })
export class Owner {
  @PrimaryColumn({ type: 'uuid' })
  id!: string
}

@ChildEntity()
export class Company extends Owner {
  @ManyToOne(() => Town, { onDelete: 'SET NULL', nullable: true })
  seat!: Relation<Town> | null
}

@Entity({ name: 'shops' })
export class Shop {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @ManyToOne(() => Company, { onDelete: 'CASCADE', nullable: true })
  company!: Relation<Company> | null

  @ManyToMany(() => Node)
  @JoinTable({ name: 'shops_nodes' })
  nodes!: Node[]
}

@Entity({ name: 'reviews' })
export class Review {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @ManyToOne(() => Shop, { onDelete: 'CASCADE', nullable: true })
  shop!: Relation<Shop> | null
}

/** Nothing happens to these: the database refuses to delete what they refer to. */
@Entity({ name: 'bills' })
export class Bill {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'integer', default: 0 })
  total!: number

  @ManyToOne(() => Shop, { nullable: true })
  shop!: Relation<Shop> | null
}

// TypeORM lets schemas refer to schemas only, and classes to classes.
export const shelfSchema = new EntitySchema<{ id: number }>({
  name: 'Shelf',
  tableName: 'shelves',
  columns: { id: { type: 'integer', primary: true } },
})

export const bookSchema = new EntitySchema<{ id: number; shelf: { id: number } | null }>({
  name: 'Book',
  tableName: 'books',
  columns: { id: { type: 'integer', primary: true } },
  relations: { shelf: { type: 'many-to-one', target: 'Shelf', onDelete: 'CASCADE' } },
})

export const cascadeEntities = [
  Region,
  Town,
  Node,
  Owner,
  Company,
  Shop,
  Review,
  Bill,
  shelfSchema,
  bookSchema,
]
