import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'

import { foreignKeyColumns, type RowChange } from '../../../src/capture/changes.ts'
import { Statements } from '../../../src/capture/returning/statements.ts'
import { calls } from './calls.ts'
import { Item, openShop, Shelf, type Shop } from './shop.ts'

let shop: Shop
let statements: Statements
let changes: { table: string; kind: string; key: unknown; before: unknown; after: unknown }[]

beforeAll(async () => {
  shop = await openShop()
})
afterAll(() => shop.dispose())

beforeEach(async () => {
  await shop.fill()
  changes = []
  const told = ({ metadata, kind, key, before, after }: RowChange): void =>
    void changes.push({ table: metadata.tableName, kind, key, before, after })
  statements = new Statements(
    shop.dataSource,
    {
      interest: foreignKeyColumns,
      beforeAutocommit: async () => undefined,
      announced: () => undefined,
      recorded: async (_, rows) => rows.forEach(told),
      refuseUncaptured: () => expect.fail('refused'),
      reportUncaptured: () => expect.fail('reported'),
    },
    { takesAlong: () => false, before: () => expect.fail('asked') },
    true,
  )
})
afterEach(() => statements.close())

const run = (name: string): Promise<unknown> =>
  calls[name]!({ manager: shop.dataSource.manager, Archive: shop.Archive })

test('an update of a foreign key tells the old one and the new one', async () => {
  await run('update of a foreign key')
  expect(changes).toEqual([
    { table: 'items', kind: 'update', key: { id: 2 }, before: { shelfId: 2 }, after: { shelfId: 2 } },
    { table: 'items', kind: 'update', key: { id: 3 }, before: { shelfId: 1 }, after: { shelfId: 2 } },
    { table: 'items', kind: 'update', key: { id: 4 }, before: { shelfId: 2 }, after: { shelfId: 2 } },
  ])
})

test('so does a relation that is taken away, and a child that a save detaches', async () => {
  await run('relation(one-to-many).remove()')
  const detached = { table: 'items', kind: 'update', before: { shelfId: 1 }, after: { shelfId: null } }
  expect(changes.splice(0)).toEqual([{ ...detached, key: { id: 1 } }])
  await shop.fill()
  changes = []
  await run('save() that detaches a child')
  expect(changes).toEqual([{ ...detached, key: { id: expect.any(Number) as number } }])
})

test('what does not touch a foreign key tells it as it is', async () => {
  await run('softDelete(id)')
  await run('update({ id })')
  expect(changes).toEqual([
    { table: 'items', kind: 'soft delete', key: { id: 1 }, before: { shelfId: 1 }, after: { shelfId: 1 } },
    { table: 'items', kind: 'update', key: { id: 2 }, before: { shelfId: 2 }, after: { shelfId: 2 } },
  ])
})

test('an insert has no before, a delete no after', async () => {
  await shop.dataSource.manager.insert(Item, { name: 'x', shelf: { id: 2 } })
  await shop.dataSource.manager.delete(Item, 2)
  expect(changes).toEqual([
    { table: 'items', kind: 'insert', key: { id: 5 }, before: undefined, after: { shelfId: 2 } },
    { table: 'items', kind: 'delete', key: { id: 2 }, before: { shelfId: 2 }, after: undefined },
  ])
})

test('a junction row names both sides', async () => {
  await run('relation(many-to-many).add()')
  await run('relation(many-to-many).remove()')
  const both = (label: number) => ({ itemsId: 1, labelsId: label })
  expect(changes).toEqual([
    { table: 'items_labels', kind: 'insert', key: both(2), before: undefined, after: both(2) },
    { table: 'items_labels', kind: 'delete', key: both(1), before: both(1), after: undefined },
  ])
})

test('a junction that save() changes is told too', async () => {
  await run('save() of labels')
  expect(changes.map(({ table, kind }) => `${kind} ${table}`).toSorted()).toEqual([
    'delete items_labels',
    'insert items_labels',
  ])
})

test('a changed key is a delete and an insert', async () => {
  await run('update of the key')
  expect(changes).toEqual([
    { table: 'lines', kind: 'delete', key: { order: 2, code: 'y' }, before: {}, after: undefined },
    { table: 'lines', kind: 'insert', key: { order: 3, code: 'y' }, before: undefined, after: {} },
  ])
})

test('a row that another transaction moves meanwhile: the foreign key that the update replaces, not an older one', async () => {
  const [first, second] = [shop.dataSource.createQueryRunner(), shop.dataSource.createQueryRunner()]
  try {
    const third = await shop.dataSource.manager.save(Shelf, { name: 'third' })
    changes = []
    await first.startTransaction()
    await first.manager.update(Item, 1, { shelf: { id: 2 } })
    await second.startTransaction()
    const [{ pid }] = await second.query('SELECT pg_backend_pid() AS pid')
    const waiting = second.manager.update(Item, 1, { shelf: third })
    await expect
      .poll(() => shop.dataSource.query('SELECT 1 FROM pg_locks WHERE pid = $1 AND NOT granted', [pid]))
      .toHaveLength(1)
    await first.commitTransaction()
    await waiting
    await second.commitTransaction()
    expect(changes.map(({ before, after }) => [before, after])).toEqual([
      [{ shelfId: 1 }, { shelfId: 2 }],
      [{ shelfId: 2 }, { shelfId: 3 }],
    ])
  } finally {
    await first.release()
    await second.release()
  }
})
