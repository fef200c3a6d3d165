import { In, LessThan, MoreThan, type EntityManager } from 'typeorm'

import { Coupon, Item, Label, Line, Shelf, type archiveIn } from './shop.ts'

export interface Place {
  readonly manager: EntityManager
  readonly Archive: ReturnType<typeof archiveIn>
}

const build = ({ manager }: Place) => manager.createQueryBuilder()
const second = '00000000-0000-4000-8000-000000000002'

/** Writes of every kind, by what they show. Each is tried on the rows of `Shop.fill`. */
export const calls: Record<string, (place: Place) => Promise<unknown>> = {
  'update(id)': ({ manager }) => manager.update(Item, 1, { stock: 5 }),
  'update(ids)': ({ manager }) => manager.update(Item, [1, 3], { stock: 5 }),
  'update({ id })': ({ manager }) => manager.update(Item, { id: 2 }, { stock: 5 }),
  'update({ id: In })': ({ manager }) => manager.update(Item, { id: In([1, 2, 99]) }, { stock: 5 }),
  'update(where)': ({ manager }) => manager.update(Item, { stock: 0 }, { stock: 5 }),
  'update(several wheres)': ({ manager }) =>
    manager.update(Item, [{ name: 'a' }, { name: 'b' }], { stock: 1 }),
  'update of nothing': ({ manager }) => manager.update(Item, { stock: 77 }, { stock: 5 }),
  'update(id, itself)': ({ manager }) => manager.update(Item, 1, { id: 1, name: 'A' }),
  'update of the key': ({ manager }) => manager.update(Line, { order: 2, code: 'y' }, { order: 3 }),
  'update of a foreign key': ({ manager }) => manager.update(Item, { id: MoreThan(1) }, { shelf: { id: 2 } }),
  'update by SQL': ({ manager }) => manager.update(Item, { name: 'a' }, { stock: () => 'in_stock + 1' }),
  'updateAll()': ({ manager }) => manager.updateAll(Item, { stock: 5 }),
  'increment()': ({ manager }) => manager.increment(Item, { stock: 0 }, 'stock', 2),
  'decrement()': ({ manager }) => manager.decrement(Item, { id: 1 }, 'stock', 2),
  'delete(id)': async ({ manager }) => {
    await manager.query('DELETE FROM items_labels')
    return manager.delete(Item, 1)
  },
  'delete(ids)': ({ manager }) => manager.delete(Item, [1, 2, 99]),
  'delete(where)': ({ manager }) => manager.delete(Item, { stock: LessThan(1) }),
  'deleteAll()': ({ manager }) => manager.deleteAll(Item),
  'delete of nothing': ({ manager }) => manager.delete(Item, 99),
  'softDelete(id)': ({ manager }) => manager.softDelete(Item, 1),
  'softDelete(where)': ({ manager }) => manager.softDelete(Item, { stock: 0 }),
  'restore(where)': ({ manager }) => manager.restore(Item, { stock: 0 }),
  'repository.update()': ({ manager }) => manager.getRepository(Item).update({ name: 'b' }, { stock: 3 }),
  'insert()': ({ manager }) => manager.insert(Item, [{ name: 'x' }, { name: 'y', stock: 2 }]),
  'upsert()': ({ manager }) => manager.upsert(Item, [{ name: 'a', stock: 9 }, { name: 'z' }], ['name']),
  'insert().orIgnore()': (place) =>
    build(place)
      .insert()
      .into(Item)
      .values([{ name: 'a' }, { name: 'e' }])
      .orIgnore()
      .execute(),
  'insert().orIgnore() of nothing': (place) =>
    build(place).insert().into(Item).values({ name: 'a' }).orIgnore().execute(),
  'insert().updateEntity(false)': (place) =>
    build(place).insert().into(Item).values({ name: 'n' }).updateEntity(false).execute(),
  'insert().returning()': (place) =>
    build(place).insert().into(Item).values({ name: 'n' }).returning(['id', 'stock']).execute(),
  'update().returning()': (place) =>
    build(place)
      .update(Item)
      .set({ stock: 8 })
      .where('name < :name', { name: 'c' })
      .returning(['name'])
      .execute(),
  "update().returning('*')": (place) =>
    build(place).update(Item).set({ stock: 8 }).where({ name: 'a' }).returning('*').execute(),
  "update().returning('*') of a foreign key": (place) =>
    build(place).update(Item).set({ shelf: null }).where({ name: 'a' }).returning('*').execute(),
  'delete().returning()': (place) =>
    build(place).delete().from(Line).where({ order: 1 }).returning(['code']).execute(),
  'update().whereEntity()': async (place) => {
    const item = await place.manager.findOneByOrFail(Item, { id: 1 })
    const result = await build(place).update(Item).set({ stock: 4 }).whereEntity(item).execute()
    return { result, item }
  },
  'softDelete().whereEntity()': async (place) => {
    const item = await place.manager.findOneByOrFail(Item, { id: 2 })
    const result = await build(place).softDelete().from(Item).whereEntity(item).execute()
    return { result, item }
  },
  'update().whereEntity() where nothing changes by itself': async (place) => {
    const line = await place.manager.findOneByOrFail(Line, { order: 1, code: 'y' })
    return build(place).update(Line).set({ amount: 4 }).whereEntity(line).execute()
  },
  'update().whereEntity().updateEntity(false)': async (place) => {
    const line = await place.manager.findOneByOrFail(Line, { order: 1, code: 'y' })
    return build(place).update(Line).set({ amount: 4 }).whereEntity(line).updateEntity(false).execute()
  },
  'update().callListeners(false)': (place) =>
    build(place).update(Item).set({ stock: 4 }).where({ id: 3 }).callListeners(false).execute(),
  'update() by the name of the table': (place) =>
    build(place).update('items').set({ stock: 4 }).where('id = 3').execute(),
  'update().useTransaction()': (place) =>
    build(place).update(Item).set({ stock: 4 }).where({ id: 3 }).useTransaction(true).execute(),
  'a cloned builder': (place) =>
    build(place).update(Item).set({ stock: 4 }).where({ id: 3 }).clone().execute(),
  'composite keys: update(map)': ({ manager }) =>
    manager.update(Line, { order: 1, code: 'x:1' }, { amount: 2 }),
  'composite keys: delete(maps)': ({ manager }) =>
    manager.delete(Line, [
      { order: 1, code: 'y' },
      { order: 2, code: 'y' },
    ]),
  'composite keys: update(where)': ({ manager }) => manager.update(Line, { code: 'y' }, { amount: 2 }),
  'transformed key: update(id)': ({ manager }) => manager.update(Coupon, 'abc', { used: 1 }),
  'transformed key: update(where)': ({ manager }) => manager.update(Coupon, { used: 0 }, { used: 1 }),
  'transformed key: delete(where)': ({ manager }) => manager.delete(Coupon, { used: 0 }),
  'transformed key: insert()': ({ manager }) => manager.insert(Coupon, { code: 'new' }),
  'other schema: update(where)': ({ manager, Archive }) =>
    manager.update(Archive, { text: 'one' }, { text: 'uno' }),
  'other schema: update of the key': ({ manager, Archive }) =>
    manager.update(Archive, { text: 'one' }, { id: '00000000-0000-4000-8000-000000000009' }),
  'other schema: delete(id)': ({ manager, Archive }) => manager.delete(Archive, second),
  'relation(many-to-one).set()': (place) => build(place).relation(Item, 'shelf').of(1).set(2),
  'relation(many-to-one).set(null)': (place) => build(place).relation(Item, 'shelf').of([1, 2]).set(null),
  'relation(one-to-many).add()': (place) => build(place).relation(Shelf, 'items').of(2).add([1, 3]),
  'relation(one-to-many).remove()': (place) => build(place).relation(Shelf, 'items').of(1).remove(1),
  'relation(one-to-many).remove() of another’s': (place) =>
    build(place).relation(Shelf, 'items').of(2).remove(1),
  'relation(many-to-many).add()': (place) => build(place).relation(Item, 'labels').of(1).add(2),
  'relation(many-to-many).remove()': (place) => build(place).relation(Item, 'labels').of(1).remove(1),
  'save(new)': ({ manager }) => manager.save(Item, { name: 'n' }),
  'save(new, { reload: false })': ({ manager }) => manager.save(Item, { name: 'n' }, { reload: false }),
  'save(changed)': async ({ manager }) => {
    const item = await manager.findOneByOrFail(Item, { id: 1 })
    return manager.save(Object.assign(item, { stock: 6, shelf: { id: 2 } }))
  },
  'save({ listeners: false })': ({ manager }) =>
    manager.save(Item, { id: 1, stock: 6 }, { listeners: false }),
  'save() that detaches a child': async ({ manager }) => {
    const shelf = await manager.findOneOrFail(Shelf, { where: { id: 1 }, relations: { items: true } })
    shelf.items = shelf.items.slice(0, 1)
    return manager.save(shelf)
  },
  'save() of labels': async ({ manager }) => {
    const item = await manager.findOneOrFail(Item, { where: { id: 1 }, relations: { labels: true } })
    item.labels = [await manager.findOneByOrFail(Label, { id: 2 })]
    return manager.save(item)
  },
  'remove()': async ({ manager }) => manager.remove(await manager.findBy(Line, { order: 1 })),
  'softRemove()': async ({ manager }) => manager.softRemove(await manager.findOneByOrFail(Item, { id: 1 })),
}
