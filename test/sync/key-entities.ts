import {
  AfterLoad,
  Column,
  Entity,
  JoinColumn,
  JoinTable,
  ManyToMany,
  OneToOne,
  PrimaryColumn,
  type Relation,
} from 'typeorm'

/** Primary keys of every kind. */

@Entity()
export class Whole {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'varchar', nullable: true })
  broken!: string | null

  @AfterLoad()
  check(): void {
    if (this.broken !== null) throw new Error(`row ${this.id} is broken: ${this.broken}`)
  }
}

@Entity()
export class Guid {
  @PrimaryColumn({ type: 'uuid' })
  id!: string
}

@Entity()
export class Bytes {
  @PrimaryColumn({ type: 'bytea' })
  id!: Buffer
}

@Entity()
export class Reading {
  @PrimaryColumn({ type: 'varchar' })
  sensor!: string

  @PrimaryColumn({ type: 'timestamptz', precision: 3 })
  at!: Date

  @PrimaryColumn({ type: 'date' })
  day!: string

  @PrimaryColumn({ type: Boolean })
  good!: boolean
}

@Entity()
export class BigKey {
  @PrimaryColumn({ type: 'bigint', transformer: { to: (value: bigint) => value.toString(), from: BigInt } })
  id!: bigint
}

@Entity()
export class Shifted {
  @PrimaryColumn({
    type: 'int',
    transformer: { to: (value: number) => value + 1000, from: (value: number) => value - 1000 },
  })
  id!: number
}

@Entity()
export class Prefixed {
  @PrimaryColumn({
    type: 'int',
    transformer: {
      to: (value: string) => Number(value.replace('usr_', '')),
      from: (value: number) => `usr_${value}`,
    },
  })
  id!: string
}

/** An id of a class of its own, which the text alone does not bring back. */
export class Ticket {
  readonly number: number
  constructor(number: number) {
    this.number = number
  }
  toString(): string {
    return `#${this.number}`
  }
}

@Entity()
export class Opaque {
  @PrimaryColumn({
    type: 'int',
    transformer: { to: (value: Ticket) => value.number, from: (value: number) => new Ticket(value) },
  })
  id!: Ticket
}

/** TypeORM joins the parts of a key with `_`, so these two rows are one for it. */
@Entity()
export class Joined {
  @PrimaryColumn({ type: 'varchar' })
  a!: string

  @PrimaryColumn({ type: 'varchar' })
  b!: string

  @ManyToMany(() => Joined)
  @JoinTable()
  others!: Relation<Joined>[]
}

export class Part {
  @PrimaryColumn({ type: 'int' })
  x!: number

  @PrimaryColumn({ type: 'varchar' })
  y!: string
}

@Entity()
export class Embedded {
  @Column(() => Part)
  key!: Part

  @Column({ type: 'int', default: 1 })
  n!: number
}

/** Its primary key is a relation without a property for the foreign key. */
@Entity()
export class Passport {
  @PrimaryColumn({ type: 'int', name: 'owner_id' })
  @OneToOne(() => Whole)
  @JoinColumn({ name: 'owner_id' })
  owner!: Relation<Whole>

  @Column({ type: 'varchar' })
  number!: string
}

export const keyEntities = [
  Whole,
  Guid,
  Bytes,
  Reading,
  BigKey,
  Shifted,
  Prefixed,
  Opaque,
  Joined,
  Embedded,
  Passport,
]
