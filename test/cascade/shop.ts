import {
  Column,
  type DataSource,
  Entity,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  type Relation,
} from 'typeorm'

import { Indexed } from '../../src/indexed.ts'

/** A shop whose products embed everything around them; only products and shelves have an index. */

/** Tests run side by side, each in a schema of its own. */
const indexIn = (name: string) => (dataSource: DataSource) =>
  `${(dataSource.options as { schema?: string }).schema ?? ''}-${name}`

@Entity()
export class Category {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text' })
  name!: string

  @Column({ type: 'text', select: false, default: '' })
  note!: string

  @ManyToOne(() => Category, { onDelete: 'SET NULL' })
  parent!: Relation<Category> | null
}

@Entity()
export class Tag {
  @PrimaryColumn({ type: 'text' })
  code!: string

  @Column({ type: 'text' })
  label!: string

  @ManyToMany(() => Product, (product) => product.tags)
  products!: Relation<Product>[]
}

@Indexed<Product>({
  index: indexIn('products'),
  relations: { category: { parent: true }, tags: true, prices: true },
  watch: { reviews: true },
})
@Entity()
export class Product {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text' })
  name!: string

  @ManyToOne(() => Category, { onDelete: 'SET NULL' })
  category!: Relation<Category> | null

  @ManyToMany(() => Tag, (tag) => tag.products)
  @JoinTable()
  tags!: Relation<Tag>[]

  @OneToMany(() => Price, (price) => price.product, { cascade: true })
  prices!: Relation<Price>[]

  @OneToMany(() => Review, (review) => review.product)
  reviews!: Relation<Review>[]
}

@Entity()
export class Price {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'integer' })
  cents!: number

  @ManyToOne(() => Product, (product) => product.prices, { onDelete: 'CASCADE' })
  product!: Relation<Product> | null
}

@Entity()
export class Review {
  @PrimaryGeneratedColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'integer' })
  stars!: number

  @ManyToOne(() => Product, (product) => product.reviews)
  product!: Relation<Product> | null
}

/** Embeds products, which are indexed themselves. */
@Indexed<Shelf>({ index: indexIn('shelves'), relations: { products: true } })
@Entity()
export class Shelf {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @ManyToMany(() => Product)
  @JoinTable()
  products!: Relation<Product>[]
}

export const shop = [Category, Tag, Product, Price, Review, Shelf]
