import {
  Column,
  DeleteDateColumn,
  Entity,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  OneToOne,
  JoinColumn,
  PrimaryColumn,
  type Relation,
} from 'typeorm'

/** Every type of which the database makes documents, in every kind of place. */

@Entity()
export class Maker {
  @PrimaryColumn({ type: 'bigint' })
  id!: string

  @Column({ type: 'varchar' })
  name!: string

  @Column({ type: 'timestamptz', nullable: true })
  since!: Date | null

  @ManyToOne(() => Maker)
  parent!: Relation<Maker> | null

  @DeleteDateColumn({ type: 'timestamptz' })
  deletedAt!: Date | null
}

export class Unit {
  @Column({ type: 'varchar', nullable: true })
  symbol!: string | null
}

export class Size {
  @Column({ type: 'real', nullable: true })
  width!: number | null

  @Column({ type: 'varchar', select: false, nullable: true })
  secret!: string | null

  @Column(() => Unit)
  unit!: Unit

  @ManyToOne(() => Maker)
  measuredBy!: Relation<Maker> | null
}

@Entity()
export class Thing {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'text', nullable: true })
  words!: string | null

  @Column({ type: 'varchar', name: 'Other Name', nullable: true })
  größe!: string | null

  @Column({ type: 'char', length: 4, nullable: true })
  code!: string | null

  @Column({ type: 'smallint', nullable: true })
  small!: number | null

  @Column({ type: Number, nullable: true })
  whole!: number | null

  @Column({ type: 'bigint', nullable: true })
  big!: string | null

  @Column({ type: 'numeric', nullable: true })
  exact!: string | null

  @Column({ type: 'numeric', precision: 10, scale: 2, nullable: true })
  price!: string | null

  @Column({ type: 'real', nullable: true })
  rough!: number | null

  @Column({ type: 'double precision', nullable: true })
  fine!: number | null

  @Column({ type: Boolean, nullable: true })
  yes!: boolean | null

  @Column({ type: 'timestamptz', nullable: true })
  at!: Date | null

  @Column({ type: 'timestamp', nullable: true })
  local!: Date | null

  @Column({ type: 'date', nullable: true })
  day!: string | null

  @Column({ type: 'time', nullable: true })
  hour!: string | null

  @Column({ type: 'jsonb', nullable: true })
  json!: unknown

  @Column({ type: 'enum', enum: ['red', 'dark "blue"', ''], nullable: true })
  colour!: string | null

  @Column({ type: 'uuid', nullable: true })
  uuid!: string | null

  @Column({ type: 'inet', nullable: true })
  address!: string | null

  @Column({ type: 'text', array: true, nullable: true })
  texts!: string[] | null

  @Column({ type: 'int', array: true, nullable: true })
  numbers!: number[] | number[][] | null

  @Column({ type: 'boolean', array: true, nullable: true })
  flags!: boolean[] | null

  @Column({ type: 'text', select: false, default: 'secret' })
  hidden!: string

  @Column(() => Size)
  size!: Size

  @ManyToOne(() => Maker)
  maker!: Relation<Maker> | null

  @ManyToOne(() => Maker)
  lazyMaker!: Promise<Maker | null>

  @ManyToMany(() => Tag)
  @JoinTable({ name: 'thing_tag' })
  tags!: Relation<Tag>[]

  @OneToMany(() => Part, (part) => part.thing)
  parts!: Relation<Part>[]

  @OneToOne(() => Manual, (manual) => manual.thing)
  manual!: Relation<Manual> | null
}

@Entity()
export class Tag {
  @PrimaryColumn({ type: 'varchar' })
  name!: string

  @Column({ type: 'double precision', nullable: true })
  weight!: number | null

  @DeleteDateColumn({ type: 'timestamptz' })
  deletedAt!: Date | null
}

@Entity()
export class Part {
  @PrimaryColumn({ type: 'uuid' })
  id!: string

  @Column({ type: 'jsonb', nullable: true })
  data!: unknown

  @ManyToOne(() => Thing, (thing) => thing.parts)
  thing!: Relation<Thing> | null

  @ManyToOne(() => Maker)
  maker!: Relation<Maker> | null
}

@Entity()
export class Manual {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @PrimaryColumn({ type: 'varchar' })
  language!: string

  @OneToOne(() => Thing, (thing) => thing.manual)
  @JoinColumn()
  thing!: Relation<Thing> | null
}

export const entities = [Maker, Thing, Tag, Part, Manual]
