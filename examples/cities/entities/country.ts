import { Column, Entity, PrimaryColumn } from 'typeorm'

@Entity({ name: 'countries' })
export class Country {
  /** ISO 3166-1 alpha-2. */
  @PrimaryColumn({ type: 'varchar', length: 2 })
  code!: string

  @Column({ type: 'text' })
  name!: string

  @Column({ type: 'text' })
  region!: string
}
