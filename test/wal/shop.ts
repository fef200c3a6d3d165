import {
  Column,
  Entity,
  JoinColumn,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  type DataSource,
} from 'typeorm'

import { Indexed } from '../../src/indexed.ts'

const named =
  (name: string) =>
  ({ options }: DataSource): string =>
    `${(options as { schema: string }).schema}-${name}`

@Entity('tags')
export class Tag {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text' })
  label!: string
}

@Indexed<Product>({
  index: named('products'),
  relations: { offers: true, tags: true },
})
@Entity('products')
export class Product {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text', default: '' })
  name!: string

  @Column({ type: 'text', nullable: true })
  description!: string | null

  @OneToMany(() => Offer, (offer) => offer.product)
  offers!: Offer[]

  @ManyToMany(() => Tag)
  @JoinTable({
    name: 'product_tags',
    joinColumn: { name: 'product_id' },
    inverseJoinColumn: { name: 'tag_id' },
  })
  tags!: Tag[]
}

@Entity('offers')
export class Offer {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'integer' })
  price!: number

  @ManyToOne(() => Product, (product) => product.offers, { onDelete: 'CASCADE', nullable: true })
  @JoinColumn({ name: 'product_id' })
  product!: Product | null
}

export const shop = [Tag, Product, Offer]
