import { setTimeout as sleep } from 'node:timers/promises'

import { EntitySchema } from 'typeorm'

import { Indexed } from '../../../src/indexed.ts'

/** Spread over three partitions; soft-deleted; the default document. */
export class Product {
  id!: number
  /** Those below `plan.regions` are made before the torture and belong to `bulk`; others have -1. */
  region!: number
  name!: string
  /** Not below 0, or the database refuses the row. */
  stock!: number
  deletedAt!: Date | null
}

/** Not indexed itself: the documents of orders hold it. */
export class Customer {
  id!: number
  name!: string
}

/** Its document holds its customer and its lines. */
export class Order {
  id!: number
  note!: string
  customer!: Customer | null
  lines!: OrderLine[]
}

export class OrderLine {
  id!: number
  orderId!: number
  order!: Order
  article!: string
  quantity!: number
}

/** A composite key that the application chooses, and uses again after it has removed the row. */
export class Booking {
  room!: string
  day!: number
  guest!: string
}

/** Has a document only while it is published. */
export class Article {
  id!: string
  title!: string
  published!: boolean
  body!: { readonly words: number; readonly author: string }
  /** When it was made, in ms; PostgreSQL's bigint is a text in JavaScript. */
  created!: string
}

/** The streams and their numbers of partitions. */
export const streams = { products: 3, orders: 1, bookings: 1, articles: 1 } as const
export type StreamName = keyof typeof streams
export const streamNames = Object.keys(streams) as StreamName[]

/** The alias in Elasticsearch, and the stream in Redis. */
export function indexName(space: string, stream: StreamName): string {
  return `${space}-${stream}`
}

/** The streams of tables that have no index, and that documents of orders embed. */
export function embeddedStreams(space: string): string[] {
  return ['customers', 'order_lines'].map((table) => `embedded:${space}.${table}`)
}

/** Says how the entities are indexed; `space` is the prefix of the indices. */
export function indexEntities(space: string): void {
  Indexed<Product>({ index: indexName(space, 'products'), partitions: streams.products })(Product)
  Indexed<Order>({
    index: indexName(space, 'orders'),
    relations: { customer: true, lines: true },
    document: async ({ id, note, customer, lines }) => {
      // As if something else were asked for: now and then the rows grow old before they are sent.
      if (Math.random() < 0.04) await sleep(Math.random() * 1_500)
      return {
        id,
        note,
        customer: customer === null ? null : { id: customer.id, name: customer.name },
        lines: lines
          .map(({ id, article, quantity }) => ({ id, article, quantity }))
          .sort((a, b) => a.id - b.id),
      }
    },
  })(Order)
  Indexed<Booking>({ index: indexName(space, 'bookings') })(Booking)
  Indexed<Article>({ index: indexName(space, 'articles'), when: ({ published }) => published })(Article)
}

// Node runs this file as it is, and cannot run decorators.
export const entities = [
  new EntitySchema<Product>({
    name: 'Product',
    target: Product,
    tableName: 'products',
    columns: {
      id: { type: 'integer', primary: true, generated: 'increment' },
      region: { type: 'integer' },
      name: { type: 'text' },
      stock: { type: 'integer' },
      deletedAt: { type: 'timestamptz', deleteDate: true, nullable: true },
    },
    checks: [{ expression: '"stock" >= 0' }],
    indices: [{ columns: ['region'] }],
  }),
  new EntitySchema<Customer>({
    name: 'Customer',
    target: Customer,
    tableName: 'customers',
    columns: { id: { type: 'integer', primary: true, generated: 'increment' }, name: { type: 'text' } },
  }),
  new EntitySchema<Order>({
    name: 'Order',
    target: Order,
    tableName: 'orders',
    columns: { id: { type: 'integer', primary: true, generated: 'increment' }, note: { type: 'text' } },
    relations: {
      customer: { type: 'many-to-one', target: () => Customer, nullable: true, onDelete: 'SET NULL' },
      lines: { type: 'one-to-many', target: () => OrderLine, inverseSide: 'order', cascade: ['insert'] },
    },
  }),
  new EntitySchema<OrderLine>({
    name: 'OrderLine',
    target: OrderLine,
    tableName: 'order_lines',
    columns: {
      id: { type: 'integer', primary: true, generated: 'increment' },
      orderId: { type: 'integer' },
      article: { type: 'text' },
      quantity: { type: 'integer' },
    },
    relations: {
      order: {
        type: 'many-to-one',
        target: () => Order,
        inverseSide: 'lines',
        joinColumn: { name: 'orderId' },
        onDelete: 'CASCADE',
      },
    },
    indices: [{ columns: ['orderId'] }],
  }),
  new EntitySchema<Booking>({
    name: 'Booking',
    target: Booking,
    tableName: 'bookings',
    columns: {
      room: { type: 'text', primary: true },
      day: { type: 'integer', primary: true },
      guest: { type: 'text' },
    },
  }),
  new EntitySchema<Article>({
    name: 'Article',
    target: Article,
    tableName: 'articles',
    columns: {
      id: { type: 'uuid', primary: true },
      title: { type: 'text' },
      published: { type: 'boolean' },
      body: { type: 'jsonb' },
      created: { type: 'bigint' },
    },
    indices: [{ columns: ['created'] }],
  }),
]
