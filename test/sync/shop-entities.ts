import {
  AfterLoad,
  ChildEntity,
  Column,
  DeleteDateColumn,
  Entity,
  JoinColumn,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  OneToOne,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  type Relation,
  TableInheritance,
} from 'typeorm'

/** Every kind of relation that the loader has to follow, in one small shop. */

@Entity({ name: 'region', orderBy: { name: 'DESC' } })
export class Region {
  @PrimaryColumn({ type: 'varchar' })
  code!: string

  @Column({ type: 'varchar' })
  name!: string
}

@Entity()
export class Category {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'varchar' })
  name!: string

  @ManyToOne(() => Category, (category) => category.children)
  parent!: Relation<Category> | null

  @OneToMany(() => Category, (category) => category.parent)
  children!: Relation<Category>[]

  @ManyToMany(() => Product, (product) => product.categories)
  products!: Relation<Product>[]
}

export class Origin {
  @Column({ type: 'varchar', nullable: true })
  farm!: string | null

  @ManyToOne(() => Region)
  region!: Relation<Region> | null

  @ManyToMany(() => Region)
  @JoinTable({ name: 'product_also_from' })
  alsoFrom!: Relation<Region>[]
}

@Entity()
export class Product {
  @PrimaryGeneratedColumn({ type: 'bigint' })
  id!: string

  @Column({ type: 'varchar', unique: true })
  sku!: string

  @Column({ type: 'varchar', select: false, default: 'secret' })
  cost!: string

  @Column({ type: 'simple-array', nullable: true })
  colours!: string[] | null

  @Column({ type: 'numeric', precision: 10, scale: 2, nullable: true })
  weight!: string | null

  @Column(() => Origin)
  origin!: Origin

  @ManyToMany(() => Category, (category) => category.products)
  @JoinTable({ name: 'product_category' })
  categories!: Relation<Category>[]

  @OneToMany(() => Price, (price) => price.product)
  prices!: Relation<Price>[]

  @OneToOne(() => Manual, (manual) => manual.product)
  manual!: Relation<Manual> | null

  @ManyToMany(() => Product)
  @JoinTable({ name: 'product_similar', joinColumn: { name: 'a' }, inverseJoinColumn: { name: 'b' } })
  similar!: Relation<Product>[]

  /** Its junction refers to a column that is not the primary key. */
  @ManyToMany(() => Manual, (manual) => manual.alsoFor)
  @JoinTable({ name: 'product_leaflet', joinColumn: { name: 'sku', referencedColumnName: 'sku' } })
  leaflets!: Relation<Manual>[]

  @ManyToOne(() => Person, (person) => person.products)
  maker!: Relation<Person> | null

  @DeleteDateColumn({ type: 'timestamptz' })
  deletedAt!: Date | null
}

/** Its foreign key refers to a column that is not the primary key. */
@Entity()
export class Price {
  @PrimaryColumn({ type: 'uuid' })
  id!: string

  @Column({ type: 'int' })
  cents!: number

  @ManyToOne(() => Product, (product) => product.prices)
  @JoinColumn({ name: 'product_sku', referencedColumnName: 'sku' })
  product!: Relation<Product> | null
}

@Entity()
export class Manual {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @OneToOne(() => Product, (product) => product.manual)
  @JoinColumn()
  product!: Relation<Product> | null

  @ManyToMany(() => Product, (product) => product.leaflets)
  alsoFor!: Relation<Product>[]

  @OneToMany(() => Page, (page) => page.manual)
  pages!: Relation<Page>[]
}

/** A composite key, one part of which is a relation's foreign key. */
@Entity()
export class Page {
  @PrimaryColumn({ type: 'int' })
  manualId!: number

  @PrimaryColumn({ type: 'varchar' })
  number!: string

  @ManyToOne(() => Manual, (manual) => manual.pages)
  @JoinColumn({ name: 'manualId' })
  manual!: Relation<Manual>

  @OneToMany(() => Footnote, (footnote) => footnote.page)
  footnotes!: Relation<Footnote>[]

  @ManyToMany(() => Region)
  @JoinTable({ name: 'page_region' })
  regions!: Relation<Region>[]
}

@Entity()
export class Footnote {
  @PrimaryGeneratedColumn('uuid')
  id!: string

  @Column({ type: 'varchar' })
  text!: string

  @ManyToOne(() => Page, (page) => page.footnotes)
  page!: Relation<Page> | null
}

@Entity()
@TableInheritance({ column: { type: 'varchar', name: 'kind' } })
export class Person {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'varchar' })
  name!: string

  greeting?: string

  @OneToMany(() => Product, (product) => product.maker)
  products!: Relation<Product>[]

  @AfterLoad()
  greet(): void {
    this.greeting = `${this.greeting ?? ''}Hello ${this.name}`
  }
}

@ChildEntity()
export class Farmer extends Person {
  @Column({ type: 'int', nullable: true })
  hectares!: number | null

  @ManyToOne(() => Region)
  home!: Relation<Region> | null

  @OneToMany(() => Award, (award) => award.farmer)
  awards!: Relation<Award>[]
}

@ChildEntity()
export class Trader extends Person {
  @Column({ type: 'varchar', nullable: true })
  firm!: string | null
}

@Entity()
export class Award {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @ManyToOne(() => Farmer, (farmer) => farmer.awards)
  farmer!: Relation<Farmer> | null

  @DeleteDateColumn({ type: 'timestamptz' })
  deletedAt!: Date | null
}

/** Relations behind promises. */
@Entity()
export class Shelf {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @ManyToOne(() => Region)
  region!: Promise<Region | null>

  @ManyToMany(() => Category)
  @JoinTable({ name: 'shelf_category' })
  categories!: Promise<Category[]>
}

export const shopEntities = [
  Region,
  Category,
  Product,
  Price,
  Manual,
  Page,
  Footnote,
  Person,
  Farmer,
  Trader,
  Award,
  Shelf,
]
