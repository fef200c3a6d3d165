import { In, IsNull, Not } from 'typeorm'

import { Item, Line, Shelf, Ticket, Word } from './entities.ts'
import type { Scene } from './shop.ts'

const build = ({ manager }: Scene) => manager.createQueryBuilder()

/** Writes of every kind, that every database can run. */
export const calls: Record<string, (scene: Scene) => Promise<unknown>> = {
  'save(new)': ({ manager }) => manager.save(Item, { name: 'n' }),
  'save(several)': ({ manager }) =>
    manager.save(Item, [{ name: 'n', stock: 3 }, { name: 'o' }, { name: 'p' }]),
  'save(changed)': ({ manager, items, shelves }) =>
    manager.save(Item, { id: items[0].id, stock: 6, shelf: shelves[1] }),
  'save(composite key)': ({ manager }) => manager.save(Line, { order: '007', code: 'z' }),
  'save(parent) with cascaded children': ({ manager, shelves }) =>
    manager.save(Shelf, { id: shelves[1].id, items: [{ name: 'n' }, { name: 'o' }] }),
  'save(parent) without one of its children': async ({ manager, shelves }) => {
    const shelf = await manager.findOneOrFail(Shelf, {
      where: { id: shelves[0].id },
      relations: { items: true },
    })
    shelf.items = shelf.items.slice(0, 1)
    return manager.save(shelf)
  },
  'remove(entity)': async ({ manager, items }) => manager.remove(items[0]),
  'softRemove(entity)': async ({ manager, items }) => manager.softRemove(items[0]),
  'recover(entity)': async ({ manager, items }) => manager.recover(items[3]),
  'insert(one)': ({ manager }) => manager.insert(Item, { name: 'n' }),
  'insert(several)': ({ manager }) =>
    manager.insert(Item, [{ name: 'n', stock: 3 }, { name: 'o' }, { name: 'p' }]),
  'insert(several with ids)': ({ manager, items }) => {
    const id = items[3].id + 50
    return manager.insert(Item, [
      { id, name: 'n' },
      { id: id + 10, name: 'o' },
    ])
  },
  'insert(some with ids)': ({ manager, items }) =>
    manager.insert(Item, [{ name: 'n' }, { id: items[3].id + 50, name: 'o' }, { name: 'p' }]),
  'insert(key given)': ({ manager }) => manager.insert(Word, [{ text: 'n' }, { text: 'Öl' }]),
  'insert(uuid)': ({ manager }) => manager.insert(Ticket, [{ name: 'n' }, { name: 'o' }]),
  'insert().orIgnore()': (scene) =>
    build(scene)
      .insert()
      .into(Item)
      .values([{ name: 'a' }, { name: 'n' }])
      .orIgnore()
      .execute(),
  'insert().orIgnore() (key given)': (scene) =>
    build(scene)
      .insert()
      .into(Word)
      .values([{ text: 'Apfel' }, { text: 'n' }])
      .orIgnore()
      .execute(),
  'insert().updateEntity(false)': (scene) =>
    build(scene).insert().into(Item).values({ name: 'n' }).updateEntity(false).execute(),
  'upsert(new)': ({ manager }) => manager.upsert(Item, [{ name: 'n', stock: 9 }], ['name']),
  'upsert(existing)': ({ manager }) => manager.upsert(Item, [{ name: 'b', stock: 9 }], ['name']),
  'upsert(both)': ({ manager }) => manager.upsert(Item, [{ name: 'b', stock: 9 }, { name: 'n' }], ['name']),
  'upsert(key given)': ({ manager }) =>
    manager.upsert(
      Word,
      [
        { text: 'Apfel', uses: 3 },
        { text: 'n', uses: 1 },
      ],
      ['text'],
    ),
  'upsert(uuid)': ({ manager }) =>
    manager.upsert(Ticket, [{ name: 'one', uses: 4 }, { name: 'n' }], ['name']),
  'update(id)': ({ manager, items }) => manager.update(Item, items[0].id, { stock: 5 }),
  'update(ids)': ({ manager, items }) => manager.update(Item, [items[0].id, items[2].id], { stock: 5 }),
  'update({ id: In })': ({ manager, items }) =>
    manager.update(Item, { id: In([items[1].id, 0]) }, { stock: 5 }),
  'update(composite key)': ({ manager }) => manager.update(Line, { order: '8', code: 'x' }, { amount: 2 }),
  'update(where)': ({ manager }) => manager.update(Item, { stock: 0 }, { stock: 5 }),
  'update(where) of a foreign key': ({ manager, shelves }) =>
    manager.update(Item, { name: In(['a', 'b']) }, { shelf: { id: shelves[1].id } }),
  'update(where) of nothing': ({ manager }) => manager.update(Item, { stock: 77 }, { stock: 5 }),
  'increment()': ({ manager }) => manager.increment(Item, { stock: 0 }, 'stock', 2),
  'delete(id)': ({ manager, items }) => manager.delete(Item, items[0].id),
  'delete(where)': ({ manager }) => manager.delete(Line, { code: 'x' }),
  'delete(where) of nothing': ({ manager }) => manager.delete(Line, { code: 'none' }),
  'softDelete(id)': ({ manager, items }) => manager.softDelete(Item, items[0].id),
  'softDelete(where)': ({ manager }) => manager.softDelete(Item, { stock: 0 }),
  'restore(where)': ({ manager }) => manager.restore(Item, { deletedAt: Not(IsNull()) }),
  'relation(many-to-one).set()': (scene) =>
    build(scene).relation(Item, 'shelf').of(scene.items[0].id).set(scene.shelves[1].id),
  'relation(one-to-many).add()': (scene) =>
    build(scene).relation(Shelf, 'items').of(scene.shelves[1].id).add(scene.items[0].id),
}
