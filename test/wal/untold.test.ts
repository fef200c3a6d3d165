import { Column, Entity, JoinColumn, ManyToOne, OneToMany, PrimaryColumn } from 'typeorm'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { Indexed } from '../../src/indexed.ts'
import { followed, type Followed } from './support.ts'

@Indexed<Order>({
  index: ({ options }) => `${(options as { schema: string }).schema}-orders`,
  relations: { lines: true },
})
@Entity('orders')
class Order {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @OneToMany(() => Line, (line) => line.order)
  lines!: Line[]
}

/** Knows neither price nor amount, only what the database makes of them. */
@Entity('lines')
class Line {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'integer', insert: false, update: false })
  total!: number

  @ManyToOne(() => Order, (order) => order.lines)
  @JoinColumn({ name: 'order_id' })
  order!: Order
}

let app: Followed

beforeEach(async () => {
  app = await followed([Order, Line])
  await app.sql(
    `ALTER TABLE lines DROP COLUMN total, ADD COLUMN price integer, ADD COLUMN amount integer,
     ADD COLUMN total integer GENERATED ALWAYS AS (price * amount) STORED`,
  )
  app.start('follower', 'consumer')
})
afterEach(() => app?.dispose())

test('a generated column, which the log does not tell, may have changed', async () => {
  await app.sql(
    'INSERT INTO orders VALUES (1); INSERT INTO lines (id, order_id, price, amount) VALUES (1, 1, 2, 3)',
  )
  expect(await app.documents('orders')).toMatchObject({ 1: { lines: [{ total: 6 }] } })
  await app.sql('UPDATE lines SET price = 5')
  expect(await app.documents('orders')).toMatchObject({ 1: { lines: [{ total: 15 }] } })
})
