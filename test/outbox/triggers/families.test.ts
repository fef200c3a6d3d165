import { Column, Entity, ManyToOne, JoinColumn, OneToMany, PrimaryColumn, type DataSource } from 'typeorm'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { Indexed } from '../../../src/indexed.ts'
import { indexNamed } from '../../support/shapes.ts'
import { witness, type Told, type Witness } from './witness.ts'

@Indexed<Customer>({ index: indexNamed('customers'), relations: { orders: true } })
@Entity({ name: 'customers' })
class Customer {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @OneToMany(() => Order, (order) => order.customer)
  orders!: Order[]
}

@Entity({ name: 'orders' })
class Order {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @PrimaryColumn({ type: 'integer' })
  year!: number

  @Column({ type: 'text', nullable: true })
  text!: string | null

  @ManyToOne(() => Customer, (customer) => customer.orders)
  @JoinColumn({ name: 'customer_id' })
  customer!: Customer
}

/** A table with children by INHERITS. */
@Indexed({ index: indexNamed('vehicles') })
@Entity({ name: 'vehicles' })
class Vehicle {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text', nullable: true })
  name!: string | null
}

/** A child of theirs by INHERITS that is an entity too. */
@Indexed({ index: indexNamed('cars') })
@Entity({ name: 'cars' })
class Car {
  @PrimaryColumn({ type: 'integer' })
  id!: number

  @Column({ type: 'text', nullable: true })
  name!: string | null

  @Column({ type: 'integer', nullable: true })
  doors!: number | null
}

/** A partition that is an entity. */
@Indexed({ index: indexNamed('events-2026') })
@Entity({ name: 'events_2026' })
class Event2026 {
  @PrimaryColumn({ type: 'integer' })
  year!: number

  @Column({ type: 'text', nullable: true })
  text!: string | null
}

async function tables(dataSource: DataSource): Promise<void> {
  await dataSource.query(`
    CREATE TABLE customers (id integer PRIMARY KEY);
    CREATE TABLE orders (id integer, year integer, text text, customer_id integer, PRIMARY KEY (id, year)) PARTITION BY RANGE (year);
    CREATE TABLE orders_2025 PARTITION OF orders FOR VALUES FROM (2025) TO (2026);
    -- Its columns are in another order.
    CREATE TABLE orders_2026 (customer_id integer, gone text, text text, year integer NOT NULL, id integer NOT NULL) PARTITION BY LIST (customer_id);
    ALTER TABLE orders_2026 DROP COLUMN gone;
    CREATE TABLE orders_2026_one (text text, id integer NOT NULL, customer_id integer, year integer NOT NULL);
    ALTER TABLE orders_2026 ATTACH PARTITION orders_2026_one FOR VALUES IN (1);
    CREATE TABLE orders_2026_rest PARTITION OF orders_2026 DEFAULT;
    ALTER TABLE orders DROP CONSTRAINT orders_pkey;
    ALTER TABLE orders_2026 ADD CONSTRAINT c UNIQUE (id, year, customer_id);
    ALTER TABLE orders_2025 ADD CONSTRAINT d UNIQUE (id, year, customer_id);
    CREATE UNIQUE INDEX ON orders (id, year, customer_id);
    ALTER TABLE orders ATTACH PARTITION orders_2026 FOR VALUES FROM (2026) TO (2027);
    CREATE TABLE vehicles (id integer PRIMARY KEY, name text);
    CREATE TABLE cars (doors integer) INHERITS (vehicles)`)
}

let w: Witness
beforeAll(async () => {
  w = await witness([Customer, Order, Vehicle], { tables })
})
afterAll(() => w.dispose())

const order = (id: number, year: number, kind: string, before?: number, after?: number): Told => ({
  table: 'orders',
  kind,
  key: { id, year },
  ...(before === undefined ? {} : { before: { customer_id: before } }),
  ...(after === undefined ? {} : { after: { customer_id: after } }),
})
const vehicle = (id: number, kind: string): Told => ({ table: 'vehicles', kind, key: { id } })

describe('partitions', () => {
  it('sees statements on the table once, whatever the partitions are', async () => {
    await w.sql('INSERT INTO orders (id, year, customer_id) VALUES (1, 2025, 1), (2, 2026, 1), (3, 2026, 2)')
    expect(await w.told()).toEqual([
      order(1, 2025, 'insert'),
      order(2, 2026, 'insert'),
      order(3, 2026, 'insert'),
    ])
    await w.sql(`UPDATE orders SET text = 'x'`)
    expect(await w.told()).toEqual([
      order(1, 2025, 'update', 1, 1),
      order(2, 2026, 'update', 1, 1),
      order(3, 2026, 'update', 2, 2),
    ])
  })

  it('sees statements straight on a partition, at any level', async () => {
    await w.sql(`UPDATE orders_2025 SET text = 'y'`)
    await w.sql(`UPDATE orders_2026 SET text = 'y' WHERE id = 3`)
    await w.sql(`DELETE FROM orders_2026_one`)
    await w.sql(`INSERT INTO orders_2026_one (id, year, customer_id) VALUES (2, 2026, 1)`)
    expect(await w.told()).toEqual([
      order(1, 2025, 'update', 1, 1),
      order(2, 2026, 'delete', 1),
      order(2, 2026, 'insert'),
      order(3, 2026, 'update', 2, 2),
    ])
  })

  it('sees rows that move to another partition', async () => {
    await w.sql('UPDATE orders SET customer_id = 3 - customer_id WHERE year = 2026')
    expect(await w.told()).toEqual([order(2, 2026, 'update', 1, 2), order(3, 2026, 'update', 2, 1)])
    await w.sql('UPDATE orders SET year = 2026 WHERE id = 1')
    expect(await w.told()).toEqual([order(1, 2025, 'delete', 1), order(1, 2026, 'insert', undefined, 1)])
  })

  it('sees TRUNCATE of a partition and of all, each row once', async () => {
    await w.sql('TRUNCATE orders_2026_rest')
    expect(await w.told()).toEqual([order(2, 2026, 'delete', 2)])
    await w.sql('TRUNCATE orders')
    expect(await w.told()).toEqual([order(1, 2026, 'delete', 1), order(3, 2026, 'delete', 1)])
  })

  it('sees writes through the table into a new partition, and its TRUNCATE; init adds its triggers', async () => {
    await w.sql('CREATE TABLE orders_2027 PARTITION OF orders FOR VALUES FROM (2027) TO (2028)')
    await w.sql('INSERT INTO orders (id, year, customer_id) VALUES (9, 2027, 1)')
    expect(await w.told()).toEqual([order(9, 2027, 'insert')])
    await w.sql('TRUNCATE orders')
    expect(await w.told()).toEqual([order(9, 2027, 'delete', 1)])
    const planned = (await w.part.plan()).filter(({ action }) => action !== 'nothing')
    expect(planned).toMatchObject([{ object: `triggers of ${w.space.schema}.orders_2027`, action: 'create' }])
    await w.part.apply()
    await w.sql('INSERT INTO orders_2027 (id, year, customer_id) VALUES (9, 2027, 1)')
    expect(await w.told()).toEqual([order(9, 2027, 'insert')])
  })
})

describe('children by INHERITS', () => {
  it('sees statements on the table and on a child, each row once', async () => {
    await w.sql('INSERT INTO vehicles (id) VALUES (1)')
    await w.sql('INSERT INTO cars (id, doors) VALUES (2, 5)')
    await w.sql(`UPDATE vehicles SET name = 'x'`)
    await w.sql('UPDATE cars SET doors = 3')
    expect(await w.told()).toEqual([
      vehicle(1, 'insert'),
      vehicle(1, 'update'),
      vehicle(2, 'insert'),
      vehicle(2, 'update'),
    ])
    await w.sql('TRUNCATE vehicles')
    expect(await w.told()).toEqual([vehicle(1, 'delete'), vehicle(2, 'delete')])
  })
})

describe('a child, or a partition, that is watched itself', () => {
  let own: Witness
  beforeAll(async () => {
    own = await witness([Vehicle, Car, Event2026], {
      tables: (dataSource) =>
        dataSource.query(`
          CREATE TABLE vehicles (id integer PRIMARY KEY, name text);
          CREATE TABLE cars (doors integer, PRIMARY KEY (id)) INHERITS (vehicles);
          CREATE TABLE events (year integer PRIMARY KEY, text text) PARTITION BY LIST (year);
          CREATE TABLE events_2026 PARTITION OF events FOR VALUES IN (2026)`),
    })
  })
  afterAll(() => own.dispose())

  const toldOf = async (table: string): Promise<unknown[]> =>
    (await own.told()).flatMap((told) => (told.table === table ? [[told.kind, told.key]] : []))

  it('sees statements that name the table it inherits from', async () => {
    await own.sql('INSERT INTO cars (id, doors) VALUES (2, 5)')
    expect(await toldOf('cars')).toEqual([['insert', { id: 2 }]])
    await own.sql(`UPDATE vehicles SET name = 'x'`)
    expect(await toldOf('cars')).toEqual([['update', { id: 2 }]])
    await own.sql('DELETE FROM vehicles')
    expect(await toldOf('cars')).toEqual([['delete', { id: 2 }]])
    await own.sql('INSERT INTO cars (id) VALUES (3)')
    await own.entries()
    await own.sql('TRUNCATE vehicles')
    expect(await toldOf('cars')).toEqual([['delete', { id: 3 }]])
  })

  it('sees statements that name the partitioned table', async () => {
    await own.sql('INSERT INTO events VALUES (2026)')
    expect(await toldOf('events_2026')).toEqual([['insert', { year: 2026 }]])
    await own.sql(`UPDATE events SET text = 'x'`)
    expect(await toldOf('events_2026')).toEqual([['update', { year: 2026 }]])
    await own.sql('TRUNCATE events')
    expect(await toldOf('events_2026')).toEqual([['delete', { year: 2026 }]])
  })

  it('has nothing more to do, and takes all of it back', async () => {
    expect((await own.part.plan()).filter(({ action }) => action !== 'nothing')).toEqual([])
    expect(await own.part.planRemoval('unused')).toEqual([])
    await own.part.remove('everything')
    expect(await own.part.planRemoval('everything')).toEqual([])
  })
})
