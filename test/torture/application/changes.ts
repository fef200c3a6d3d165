import type { EntityManager, EntityTarget, ObjectLiteral, SelectQueryBuilder } from 'typeorm'

import { Article, Booking, Customer, Order, OrderLine, Product } from './entities.ts'
import type { Write } from './write.ts'

/** Changes one row, or a row and what hangs on it, through the given manager. */
type Change = (write: Write, manager: EntityManager) => Promise<void>

const rooms = ['garden', 'sea:2', '100 %3A', 'attic%']

/** How often each change is made. */
export const changeWeights = {
  insertProduct: 8,
  updateProduct: 20,
  removeProduct: 4,
  softRemoveProduct: 6,
  recoverProduct: 6,
  insertOrder: 7,
  updateOrder: 12,
  removeOrder: 3,
  book: 16,
  cancelBooking: 8,
  insertArticle: 6,
  updateArticle: 10,
  publishArticle: 10,
  removeArticle: 3,
}
export const compoundWeights = {
  insertCustomer: 2,
  changeLine: 10,
  rebook: 6,
}

/** Changes that are complete with one `save` or `remove`, which opens a transaction when there is none. */
export const changes: Readonly<Record<keyof typeof changeWeights, Change>> = {
  insertProduct: async (write, manager) => {
    const { id } = await manager.save(write.product())
    write.note('insert', `products ${id}`)
  },
  updateProduct: async (write, manager) => {
    const product = await recentProduct(write, manager)
    if (product === null) return changes.insertProduct(write, manager)
    write.note('update', `products ${product.id}`)
    await manager.save(Object.assign(product, { name: write.label, stock: write.random.below(100) }))
  },
  removeProduct: async (write, manager) => {
    // Not those of a region: somebody who saves such a row at this moment would insert it again, beside a `bulk`.
    const product = await recent(write, manager, Product, 'id', (rows) => rows.where({ region: -1 }))
    if (product === null) return changes.insertProduct(write, manager)
    write.note('remove', `products ${product.id}`)
    await manager.remove(product)
  },
  softRemoveProduct: async (write, manager) => {
    const product = await recentProduct(write, manager)
    if (product === null) return changes.insertProduct(write, manager)
    write.note('softRemove', `products ${product.id}`)
    await manager.softRemove(product)
  },
  recoverProduct: async (write, manager) => {
    const product = await recent(write, manager, Product, 'id', (rows) =>
      rows.withDeleted().where('"row"."deletedAt" IS NOT NULL'),
    )
    if (product === null) return changes.insertProduct(write, manager)
    write.note('recover', `products ${product.id}`)
    await manager.recover(product)
  },
  insertOrder: async (write, manager) => {
    const customer = await recent(write, manager, Customer, 'id')
    const lines = Array.from({ length: write.random.below(4) }, (_, i) =>
      manager.create(OrderLine, { article: `${write.label} ${i}`, quantity: i }),
    )
    const { id } = await manager.save(manager.create(Order, { note: write.label, customer, lines }))
    write.note('insert', `orders ${id}`)
  },
  updateOrder: async (write, manager) => {
    const order = await recent(write, manager, Order, 'id')
    if (order === null) return changes.insertOrder(write, manager)
    write.note('update', `orders ${order.id}`)
    if (write.random.chance(0.3)) order.customer = await recent(write, manager, Customer, 'id')
    await manager.save(Object.assign(order, { note: write.label }))
  },
  removeOrder: async (write, manager) => {
    const order = await recent(write, manager, Order, 'id')
    if (order === null) return changes.insertOrder(write, manager)
    write.note('remove', `orders ${order.id}`)
    await manager.remove(order)
  },
  book: async (write, manager) => {
    const booking = Object.assign(new Booking(), recentKey(write), { guest: write.label })
    write.note('save', `bookings ${booking.room} ${booking.day}`)
    await manager.save(booking)
  },
  cancelBooking: async (write, manager) => {
    const booking = await manager.findOneBy(Booking, recentKey(write))
    if (booking === null) return changes.book(write, manager)
    write.note('remove', `bookings ${booking.room} ${booking.day}`)
    await manager.remove(booking)
  },
  insertArticle: async (write, manager) => {
    const id = uuid(write)
    write.note('insert', `articles ${id}`)
    const article = { id, title: write.label, published: write.random.chance(0.7), body: body(write) }
    await manager.save(Object.assign(new Article(), article, { created: String(Date.now()) }))
  },
  updateArticle: async (write, manager) => {
    const article = await recent(write, manager, Article, 'created')
    if (article === null) return changes.insertArticle(write, manager)
    write.note('update', `articles ${article.id}`)
    await manager.save(Object.assign(article, { title: write.label, body: body(write) }))
  },
  publishArticle: async (write, manager) => {
    const article = await recent(write, manager, Article, 'created')
    if (article === null) return changes.insertArticle(write, manager)
    write.note('publish', `articles ${article.id}`)
    await manager.save(Object.assign(article, { title: write.label, published: !article.published }))
  },
  removeArticle: async (write, manager) => {
    const article = await recent(write, manager, Article, 'created')
    if (article === null) return changes.insertArticle(write, manager)
    write.note('remove', `articles ${article.id}`)
    await manager.remove(article)
  },
}

/** Changes of several statements, which only a transaction holds together. */
export const compoundChanges: Readonly<Record<keyof typeof compoundWeights, Change>> = {
  insertCustomer: async (write, manager) => {
    await manager.save(Object.assign(new Customer(), { name: write.label }))
    await changes.insertOrder(write, manager)
  },
  changeLine: async (write, manager) => {
    const order = await recent(write, manager, Order, 'id')
    if (order === null) return changes.insertOrder(write, manager)
    const [line] = await manager.findBy(OrderLine, { orderId: order.id })
    const changed = line ?? Object.assign(new OrderLine(), { orderId: order.id })
    write.note('line', `orders ${order.id}`)
    if (line !== undefined && write.random.chance(0.3)) await manager.remove(line)
    else
      await manager.save(Object.assign(changed, { article: write.label, quantity: write.random.below(10) }))
    // The line has no index: the application names the document that holds it.
    await write.redstream.touch(Order, order.id, { manager })
  },
  rebook: async (write, manager) => {
    const booking = await manager.findOneBy(Booking, recentKey(write))
    if (booking === null) return changes.book(write, manager)
    const { room, day } = booking
    write.note('replace', `bookings ${room} ${day}`)
    await manager.remove(booking)
    await manager.save(Object.assign(new Booking(), { room, day, guest: write.label }))
  },
}

/** One of the rows that were made last. So rows are written often for a few seconds, and then keep what they have. */
async function recent<E extends ObjectLiteral>(
  { random }: Write,
  manager: EntityManager,
  entity: EntityTarget<E>,
  newestBy: string,
  which: (rows: SelectQueryBuilder<E>) => SelectQueryBuilder<E> = (rows) => rows,
): Promise<E | null> {
  const offset = Math.floor(random.next() ** 2 * 25)
  const rows = which(manager.createQueryBuilder(entity, 'row'))
  return rows.orderBy(`row.${newestBy}`, 'DESC').offset(offset).limit(1).getOne()
}

/** A recent product, or one of those that `bulk` writes at the same time. */
function recentProduct(write: Write, manager: EntityManager): Promise<Product | null> {
  const region = write.random.chance(0.3) ? write.region() : -1
  return recent(write, manager, Product, 'id', (rows) => rows.where({ region }))
}

function recentKey({ random, seconds }: Write): Pick<Booking, 'room' | 'day'> {
  return { room: random.pick(rooms), day: Math.floor(seconds * 2) - random.below(8) }
}

function body({ label, random }: Write): Article['body'] {
  return { words: random.below(1_000), author: label }
}

function uuid({ random }: Write): string {
  const hex = Array.from({ length: 32 }, () => random.below(16).toString(16)).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`
}
