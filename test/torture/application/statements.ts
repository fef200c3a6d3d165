import { plan } from '../plan.ts'
import type { Random } from '../random.ts'

interface Statement {
  readonly text: string
  readonly values: unknown[]
}

/** One of the rows that were made last, as the writers take them. */
const recent = (table: string, key: string, newestBy: string, random: Random): string =>
  `${key} IN (SELECT ${key} FROM ${table} ORDER BY ${newestBy} DESC OFFSET ${Math.floor(random.next() ** 2 * 25)} LIMIT ${1 + random.below(3)})`

/** How often each statement is sent. */
export const weights = {
  'insert products': 6,
  'update products': 10,
  'update a region': 4,
  'delete products': 3,
  'soft-delete products': 3,
  'insert order and lines': 5,
  'move lines': 6,
  'delete orders, CASCADE': 3,
  'rename customers': 5,
  'delete customers, SET NULL': 1,
  'book or rebook': 6,
  'move bookings': 4,
  'merge bookings': 3,
  'publish articles': 5,
  'truncate lines': 0.3,
  'truncate bookings': 0.3,
}

/** What a program without TypeORM writes. */
export const statements: Readonly<
  Record<keyof typeof weights, (random: Random, label: string) => Statement>
> = {
  'insert products': (random, label) => ({
    text: `INSERT INTO products (region, name, stock) SELECT -1, $1, n FROM generate_series(1, $2::int) n`,
    values: [label, 1 + random.below(20)],
  }),
  'update products': (random, label) => ({
    text: `UPDATE products SET name = $1 WHERE ${recent('products', 'id', 'id', random)}`,
    values: [label],
  }),
  'update a region': (random, label) => ({
    text: 'UPDATE products SET name = $1, stock = stock + 1 WHERE region = $2',
    values: [label, random.below(plan.regions)],
  }),
  'delete products': (random) => ({
    text: `DELETE FROM products WHERE region = -1 AND ${recent('products', 'id', 'id', random)}`,
    values: [],
  }),
  'soft-delete products': (random) => ({
    text: `UPDATE products SET "deletedAt" = now() WHERE ${recent('products', 'id', 'id', random)}`,
    values: [],
  }),
  'insert order and lines': (random, label) => ({
    text: `
      WITH made AS (
        INSERT INTO orders (note, "customerId") SELECT $1, max(id) FROM customers RETURNING id)
      INSERT INTO order_lines ("orderId", article, quantity)
      SELECT id, $1, n FROM made, generate_series(1, $2::int) n`,
    values: [label, 1 + random.below(4)],
  }),
  'move lines': (random, label) => ({
    text: `
      UPDATE order_lines SET article = $1, "orderId" = (SELECT id FROM orders ORDER BY id DESC OFFSET ${random.below(8)} LIMIT 1)
      WHERE ${recent('order_lines', 'id', 'id', random)} AND EXISTS (SELECT FROM orders OFFSET 8)`,
    values: [label],
  }),
  'delete orders, CASCADE': (random) => ({
    text: `DELETE FROM orders WHERE ${recent('orders', 'id', 'id', random)}`,
    values: [],
  }),
  'rename customers': (random, label) => ({
    text: `UPDATE customers SET name = $1 WHERE ${recent('customers', 'id', 'id', random)}`,
    values: [label],
  }),
  'delete customers, SET NULL': (random) => ({
    text: `DELETE FROM customers WHERE ${recent('customers', 'id', 'id', random)}`,
    values: [],
  }),
  'book or rebook': (random, label) => ({
    text: `
      INSERT INTO bookings (room, day, guest) SELECT 'stranger', n, $1 FROM generate_series($2::int, $2 + 3) n
      ON CONFLICT (room, day) DO UPDATE SET guest = EXCLUDED.guest`,
    values: [label, random.below(40)],
  }),
  'move bookings': (random) => ({
    text: `
      UPDATE bookings b SET day = day + 100 WHERE room = 'stranger' AND day = $1
      AND NOT EXISTS (SELECT FROM bookings o WHERE o.room = b.room AND o.day = b.day + 100)`,
    values: [random.below(40)],
  }),
  'merge bookings': (random, label) => ({
    text: `
      MERGE INTO bookings b USING generate_series($2::int, $2 + 5) n ON b.room = 'merged' AND b.day = n
      WHEN MATCHED AND b.day % 2 = 0 THEN DELETE
      WHEN MATCHED THEN UPDATE SET guest = $1
      WHEN NOT MATCHED THEN INSERT VALUES ('merged', n, $1)`,
    values: [label, random.below(40)],
  }),
  'publish articles': (random, label) => ({
    text: `UPDATE articles SET title = $1, published = NOT published WHERE ${recent('articles', 'id', 'created', random)}`,
    values: [label],
  }),
  'truncate lines': () => ({ text: 'TRUNCATE order_lines', values: [] }),
  'truncate bookings': () => ({ text: 'TRUNCATE bookings', values: [] }),
}
