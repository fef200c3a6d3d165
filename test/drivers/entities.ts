import {
  Column,
  DeleteDateColumn,
  Entity,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  UpdateDateColumn,
  VersionColumn,
  type DataSource,
  type Relation,
} from 'typeorm'

import { Indexed } from '../../src/indexed.ts'

// Column types that every driver knows: JavaScript's, or SQL's plainest.

@Entity({ name: 'shelves' })
export class Shelf {
  @PrimaryGeneratedColumn()
  id!: number

  @Column({ type: String })
  name!: string

  @OneToMany(() => Item, (item) => item.shelf, { cascade: true })
  items!: Relation<Item>[]
}

@Entity({ name: 'labels' })
export class Label {
  @PrimaryGeneratedColumn()
  id!: number

  @Column({ type: String })
  name!: string
}

@Entity({ name: 'items' })
export class Item {
  @PrimaryGeneratedColumn()
  id!: number

  @Column({ type: String, unique: true })
  name!: string

  @Column({ name: 'in_stock', type: Number, default: 0 })
  stock!: number

  @Column({ type: Boolean, default: true })
  active!: boolean

  @Column({ type: 'decimal', precision: 10, scale: 2, default: 0 })
  price!: string | number

  @Column({ type: 'bigint', default: 0 })
  code!: string | number

  @Column({ type: 'simple-json', nullable: true })
  extra!: object | null

  @Column({ type: Date, nullable: true })
  soldAt!: Date | null

  @VersionColumn()
  version!: number

  @UpdateDateColumn()
  updatedAt!: Date

  @DeleteDateColumn()
  deletedAt!: Date | null

  @ManyToOne(() => Shelf, (shelf) => shelf.items, { nullable: true, onDelete: 'SET NULL' })
  shelf!: Relation<Shelf> | null

  @ManyToMany(() => Label)
  @JoinTable({ name: 'items_labels' })
  labels!: Label[]

  @OneToMany(() => Line, (line) => line.item)
  lines!: Relation<Line>[]
}

/** A composite key; its rows go with their item. */
@Entity({ name: 'item_lines' })
export class Line {
  @PrimaryColumn({ name: 'order_no', type: 'bigint' })
  order!: string | number

  @PrimaryColumn({ type: 'varchar', length: 20 })
  code!: string

  @Column({ type: Number, default: 0 })
  amount!: number

  @ManyToOne(() => Item, (item) => item.lines, { onDelete: 'CASCADE' })
  item!: Relation<Item> | null
}

/** A key that TypeORM makes up where the database does not. */
@Entity({ name: 'tickets' })
export class Ticket {
  @PrimaryGeneratedColumn('uuid')
  id!: string

  @Column({ type: String, unique: true })
  name!: string

  @Column({ type: Number, default: 0 })
  uses!: number
}

/** A key of letters: MySQL and MariaDB do not tell upper case from lower case in it. */
@Entity({ name: 'words' })
export class Word {
  @PrimaryColumn({ type: 'varchar', length: 40 })
  text!: string

  @Column({ type: Number, default: 0 })
  uses!: number
}

export const entities = [Shelf, Label, Item, Line, Ticket, Word]

/** The streams of what is indexed. */
export const streams = ['shelves', 'items', 'lines', 'tickets', 'words'] as const
export type Stream = (typeof streams)[number]

/** What the names of the indices begin with: each test has its own. */
export const indexPrefixes = new WeakMap<DataSource, string>()

const index = (name: Stream) => (dataSource: DataSource) => `${indexPrefixes.get(dataSource)}${name}`
const relations = { shelf: true, labels: true, lines: true }
Indexed<Shelf>({ index: index('shelves'), stream: 'shelves', relations: { items: true } })(Shelf)
Indexed<Item>({ index: index('items'), stream: 'items', relations })(Item)
Indexed<Line>({ index: index('lines'), stream: 'lines' })(Line)
Indexed<Ticket>({ index: index('tickets'), stream: 'tickets' })(Ticket)
Indexed<Word>({ index: index('words'), stream: 'words' })(Word)
