import { In } from 'typeorm'

import { Booking, Offer, Owner, Photo, Shop, Tag } from '../shop.ts'
import type { Group } from './scene.ts'

/** Writes of entities. */
export const entityWrites: Group = {
  writes: {
    'save(new)': ({ manager, label }) => manager.save(manager.create(Shop, { name: label })),
    'save(several)': ({ manager, label }) =>
      manager.save(Array.from({ length: 3 }, () => manager.create(Shop, { name: label }))),
    'save(changed)': ({ manager, shops: [shop] }) => manager.save(Object.assign(shop, { name: 'changed' })),
    'save(of a part)': ({ manager, shops: [{ id }] }) => manager.save(Shop, { id, visits: 9 }),
    'save(composite key)': ({ manager, booking }) => manager.save(Object.assign(booking, { guest: 'Bob' })),
    'save(new) with its children': ({ manager, label }) =>
      manager.save(
        manager.create(Shop, {
          name: label,
          offers: [{ article: 'oil', cents: 5 }],
          photos: [{ file: `${label}, new` }],
        }),
      ),
    'save(changed child of a parent)': ({ manager, shops: [shop] }) => {
      shop.offers[0]!.cents = 7
      return manager.save(shop)
    },
    'save(parent) without one of its children': ({ manager, shops: [shop] }) => {
      shop.offers.pop()
      return manager.save(shop)
    },
    'save(parent) without a child that is deleted then': ({ manager, shops: [shop] }) => {
      shop.photos.pop()
      return manager.save(shop)
    },
    'save(parent) with the child of another': ({ manager, shops: [shop, other] }) => {
      shop.offers.push(other.offers[0]!)
      return manager.save(shop)
    },
    'save(child) with another parent': ({ manager, shops: [shop, other] }) =>
      manager.save(Object.assign(shop.offers[0]!, { shop: other })),
    'save(new child)': ({ manager, shops: [shop] }) =>
      manager.save(manager.create(Offer, { article: 'tea', cents: 3, shop })),
    'save(embedded row)': ({ manager, owners: [owner] }) =>
      manager.save(Object.assign(owner, { name: 'Cleo' })),
    'save(parent) with another embedded row': ({ manager, shops: [shop], owners: [, other] }) =>
      manager.save(Object.assign(shop, { owner: other })),
    'save(row behind a junction)': ({ manager, tags: [tag] }) =>
      manager.save(Object.assign(tag, { name: 'new' })),
    'remove(entity)': ({ manager, booking }) => manager.remove(booking),
    'remove(child)': ({ manager, shops: [shop] }) => manager.remove(shop.offers),
    'softRemove(entity)': async ({ manager, shops: [{ id }] }) =>
      manager.softRemove(await manager.findOneByOrFail(Shop, { id })),
    'recover(entity)': async ({ manager, shops: [{ id }] }) => {
      const shop = await manager.softRemove(await manager.findOneByOrFail(Shop, { id }))
      await manager.save(Object.assign(shop, { name: 'back' }))
      await manager.recover(shop)
    },
  },
}

/** Writes by criteria, by builders, and of values. */
export const statementWrites: Group = {
  writes: {
    'insert(one)': ({ manager, label }) => manager.insert(Shop, { name: label }),
    'insert(several)': ({ manager, label }) =>
      manager.insert(Shop, [{ name: label }, { name: label, visits: 4 }]),
    'insert(child)': ({ manager, shops: [shop] }) =>
      manager.insert(Offer, { article: 'rice', cents: 2, shop }),
    'insert().updateEntity(false)': ({ manager, label }) =>
      manager.createQueryBuilder().insert().into(Shop).values({ name: label }).updateEntity(false).execute(),
    'upsert(new and existing)': ({ manager, label }) =>
      manager.upsert(
        Booking,
        [
          { room: label, day: 1, guest: 'Eve' },
          { room: label, day: 2, guest: 'Eve' },
        ],
        ['room', 'day'],
      ),
    'upsert(child) with another parent': ({ manager, shops: [shop, other] }) =>
      manager.upsert(Offer, { id: shop.offers[0]!.id, article: 'bread', cents: 1, shop: other }, ['id']),
    'update(id)': ({ manager, shops: [{ id }] }) => manager.update(Shop, id, { visits: 50 }),
    'update(where)': ({ manager, label }) => manager.update(Shop, { name: label }, { visits: 50 }),
    'update(where) of what it looks for': ({ manager, label }) =>
      manager.update(Shop, { name: label }, { name: 'gone' }),
    'update(key)': ({ manager, label }) => manager.update(Booking, { room: label, day: 1 }, { day: 8 }),
    'update(key) of a parent': ({ manager, shops: [{ id }] }) =>
      manager.update(Shop, id, { id: id + 1_000_000 }),
    'update(keys exchanged)': async ({ manager, label: room }) => {
      await manager.insert(Booking, { room, day: 2, guest: 'Bob' })
      for (const [from, to] of [
        [1, 0],
        [2, 1],
        [0, 2],
      ] as const) {
        await manager.update(Booking, { room, day: from }, { day: to })
      }
    },
    'update(embedded row)': ({ manager, owners: [{ id }] }) => manager.update(Owner, id, { name: 'Dora' }),
    'update(child) with another parent': ({ manager, shops: [shop, other] }) =>
      manager.update(Offer, { id: In(shop.offers.map(({ id }) => id)) }, { shop: other }),
    'update(child) to no parent': ({ manager, shops: [shop] }) =>
      manager.update(Offer, { shop: { id: shop.id } }, { shop: null }),
    'update(row behind a junction)': ({ manager, tags: [{ id }] }) =>
      manager.update(Tag, id, { name: 'sale' }),
    'increment(where)': ({ manager, label }) => manager.increment(Shop, { name: label }, 'visits', 3),
    'delete(id)': ({ manager, label }) => manager.delete(Booking, { room: label, day: 1 }),
    'delete(where)': ({ manager, label }) => manager.delete(Shop, { name: label }),
    'delete(child)': ({ manager, shops: [shop] }) => manager.delete(Photo, shop.photos[0]!.file),
    'softDelete(where)': ({ manager, label }) => manager.softDelete(Shop, { name: label }),
    'restore(where)': async ({ manager, label }) => {
      await manager.softDelete(Shop, { name: label })
      await manager.restore(Shop, { name: label })
      await manager.update(Shop, { name: label }, { visits: 60 })
    },
    'createQueryBuilder().update()': ({ manager, label }) =>
      manager
        .createQueryBuilder()
        .update(Shop)
        .set({ visits: 6 })
        .where('name = :label', { label })
        .execute(),
    'createQueryBuilder().delete()': ({ manager, label }) =>
      manager.createQueryBuilder().delete().from(Booking).where('room = :label', { label }).execute(),
    'relation(many-to-one).set()': ({ manager, shops: [shop], owners: [, other] }) =>
      manager.createQueryBuilder().relation(Shop, 'owner').of(shop.id).set(other.id),
    'relation(one-to-many).add()': ({ manager, shops: [shop, other] }) =>
      manager.createQueryBuilder().relation(Shop, 'offers').of(shop.id).add(other.offers[0]!.id),
  },
}

/** Pairs of a junction table. */
export const pairWrites: Group = {
  writes: {
    'save(entity) with other tags': ({ manager, shops: [shop], tags: [, other] }) =>
      manager.save(Object.assign(shop, { tags: [other] })),
    'save(tag) with its shops': ({ manager, shops, tags: [, other] }) =>
      manager.save(Object.assign(other, { shops: [...shops] })),
    'relation(many-to-many).add()': ({ manager, shops: [shop], tags: [, other] }) =>
      manager.createQueryBuilder().relation(Shop, 'tags').of(shop.id).add(other.id),
    'relation(many-to-many).remove()': ({ manager, shops: [shop], tags: [tag] }) =>
      manager.createQueryBuilder().relation(Shop, 'tags').of(shop.id).remove(tag.id),
  },
}

/** What the database does by itself with a row that TypeORM deletes. */
export const actionWrites: Group = {
  writes: {
    'remove(parent), CASCADE': ({ manager, shops: [shop] }) => manager.remove(shop),
    'delete(parents), CASCADE': ({ manager, label }) => manager.delete(Shop, { name: label }),
    'remove(embedded row), SET NULL': ({ manager, owners: [owner] }) => manager.remove(owner),
    'delete(embedded row), SET NULL': ({ manager, owners: [{ id }] }) => manager.delete(Owner, id),
    'delete(row behind a junction), CASCADE': ({ manager, tags: [{ id }] }) => manager.delete(Tag, id),
  },
}
