import { In, MoreThan, Not, type EntityTarget } from 'typeorm'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { drivers, isAvailable, skipWithout } from '../support/databases.ts'
import { Item, Label, Line, Shelf, streams, Ticket, Word, type Stream } from './entities.ts'
import { openShop, type Attached, type Scene, type Shop } from './shop.ts'

type Step = (scene: Scene, app: Attached) => Promise<unknown>

/** Changes one after the other, on rows that those before have left. */
const steps: Record<string, Step> = {
  'rows of every type': ({ manager }) =>
    manager.save(Item, {
      name: 'typed',
      stock: -3,
      active: false,
      price: '12345678.25',
      code: '4503599627370497',
      extra: { sizes: [1, 2], colour: 'red' },
      soldAt: new Date('2026-02-03T04:05:06Z'),
    }),
  'an embedded row is renamed': ({ manager, shelves }) =>
    manager.save(Shelf, { id: shelves[0].id, name: 'top' }),
  'a label is renamed': ({ manager, labels }) => manager.save(Label, { id: labels[0].id, name: 'newest' }),
  'a label is added': ({ manager, items, labels }) =>
    manager.createQueryBuilder().relation(Item, 'labels').of(items[1].id).add(labels[1].id),
  'a label is taken away': ({ manager, items, labels }) =>
    // In SQLite, only a transaction makes it known which row of the junction goes.
    manager.transaction((inside) =>
      inside.createQueryBuilder().relation(Item, 'labels').of(items[1].id).remove(labels[0].id),
    ),
  'labels change, by save': ({ manager, items, labels }) =>
    manager.save(Item, { id: items[0].id, labels: [labels[1]] }),
  'a child moves, by save': ({ manager, items, shelves }) =>
    manager.save(Item, { id: items[0].id, shelf: shelves[1] }),
  'a child moves, by update(id)': ({ manager, items, shelves }) =>
    manager.update(Item, items[1].id, { shelf: { id: shelves[1].id } }),
  'a child moves, by upsert': ({ manager, items }) =>
    manager.upsert(Line, { order: '4503599627370497', code: 'y', item: { id: items[1].id } }, [
      'order',
      'code',
    ]),
  'a child moves, by redstream.update': ({ shelves }, { redstream }) =>
    redstream.update(Item, { name: 'c' }, { shelf: { id: shelves[1].id } }),
  'a child is deleted, by id': ({ manager }) => manager.delete(Line, { order: '8', code: 'x' }),
  'a child is soft-deleted': ({ manager, items }) => manager.softDelete(Item, items[1].id),
  'and comes back': ({ manager, items }) => manager.recover(items[1]),
  'the database sets a foreign key to NULL': async ({ manager, shelves }) =>
    manager.remove(await manager.findOneByOrFail(Shelf, { id: shelves[1].id })),
  'the database deletes children': async ({ manager, items }) =>
    manager.remove(await manager.findOneByOrFail(Item, { id: items[2].id })),
  'many rows with composite keys': async ({ manager }, { redstream }) => {
    await redstream.insert(
      Line,
      Array.from({ length: 1_200 }, (_, i) => ({ order: i + 100, code: 'many' })),
    )
    await redstream.update(Line, { code: 'many' }, { amount: 2 })
    await redstream.delete(Line, { code: 'many', order: MoreThan(110) })
    await manager.transaction((inside) => inside.update(Line, { code: 'many' }, { code: 'few' }))
  },
  'redstream.update': (_, { redstream }) => redstream.update(Item, { stock: MoreThan(-10) }, { stock: 41 }),
  'redstream.insert of several': (_, { redstream }) =>
    redstream.insert(Item, [{ name: 'i1' }, { name: 'i2' }, { name: 'i3' }]),
  'redstream.delete': (_, { redstream }) => redstream.delete(Item, { name: In(['i1', 'i3']) }),
  'bulk around an update': ({ manager }, { redstream }) =>
    redstream.bulk(Item, { stock: 41 }, () => manager.update(Item, { stock: 41 }, { stock: 42 })),
  'bulk around an upsert': ({ manager }, { redstream }) =>
    redstream.bulk(Ticket, { name: In(['one', 'two']) }, () =>
      manager.upsert(Ticket, [{ name: 'one', uses: 4 }, { name: 'two' }], ['name']),
    ),
  'a transaction with savepoints, one of which is rolled back': ({ manager }) =>
    manager.transaction(async (outer) => {
      await outer.save(Word, { text: 'outer' })
      await outer.transaction((inner) => inner.save(Word, { text: 'inner' }))
      const undone = outer.transaction(async (inner) => {
        await inner.save(Word, { text: 'undone' })
        throw new Error('undo')
      })
      await expect(undone).rejects.toThrow('undo')
    }),
  'a transaction that is rolled back': async ({ manager }) => {
    const failed = manager.transaction(async (inside) => {
      await inside.save(Word, { text: 'never' })
      await inside.update(Word, 'outer', { uses: 9 })
      throw new Error('no')
    })
    await expect(failed).rejects.toThrow('no')
  },
  'more rows than a page': async ({ manager }, { redstream }) => {
    const words = Array.from({ length: 2_300 }, (_, i) => ({ text: `w${i}` }))
    await redstream.insert(Word, words)
    await redstream.update(Word, { text: Not('Apfel') }, { uses: 3 })
    await manager.update(Word, 'w7', { uses: 4 })
  },
}

describe.each(drivers)('%s: documents equal rows', (driver) => {
  let shop: Shop
  let app: Attached
  let scene: Scene

  beforeAll(async () => {
    if (!isAvailable(driver)) return
    shop = await openShop(driver)
    app = await shop.attach()
    await app.index()
    scene = await shop.fill()
  })
  afterAll(() => shop?.dispose())
  beforeEach((context) => skipWithout(driver, context))

  test.each(Object.entries(steps))('%s', async (_, step) => {
    app.log.length = 0
    await step(scene, app)
    await app.redstream.drained()
    expect(app.log.filter(({ level }) => level !== 'debug' && level !== 'info')).toEqual([])
    await Promise.all(
      streams.map(async (stream) => {
        const documents = Object.entries(await app.documents(stream))
        const found = Object.fromEntries(documents.map(([key, body]) => [key, sorted(body)]))
        expect(found, stream).toEqual(await expected(stream))
      }),
    )
  })

  /** What TypeORM itself loads, as JSON. */
  async function expected(stream: Stream): Promise<Record<string, unknown>> {
    const { entity, relations, keyOf } = loaded[stream]
    const rows = await shop.dataSource.manager.find<Row>(
      entity as EntityTarget<Row>,
      relations && { relations },
    )
    return Object.fromEntries(rows.map((row) => [keyOf(row), sorted(JSON.parse(JSON.stringify(row)))]))
  }
})

type Row = Record<string, unknown>

const id = (row: Row): string => String(row['id'])
const loaded: Record<Stream, { entity: object; relations?: object; keyOf: (row: Row) => string }> = {
  shelves: { entity: Shelf, relations: { items: true }, keyOf: id },
  items: { entity: Item, relations: { shelf: true, labels: true, lines: true }, keyOf: id },
  lines: { entity: Line, keyOf: (row) => `${String(row['order'])}:${String(row['code'])}` },
  tickets: { entity: Ticket, keyOf: id },
  words: { entity: Word, keyOf: (row) => String(row['text']) },
}

/** The order of embedded rows is nobody's promise. */
function sorted(document: Row): Row {
  return Object.fromEntries(
    Object.entries(document).map(([name, value]) => [
      name,
      Array.isArray(value)
        ? value.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
        : value,
    ]),
  )
}
