import { DataSource } from 'typeorm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { calls } from './calls.ts'
import { Coupon, differences, entities, Item, openShop, rowVersions, type Shop } from './shop.ts'

let shop: Shop

beforeAll(async () => {
  shop = await openShop()
})
afterAll(() => shop.dispose())

const unique = (keys: readonly string[]): string[] => [...new Set(keys)]

describe('every write publishes the rows that it wrote, and no other', () => {
  test.each(Object.entries(calls))('%s', async (_, call) => {
    const { dataSource, Archive } = shop
    for (const inside of [false, true]) {
      await shop.fill()
      const app = await shop.attach({ delay: { requeue: 'always' } })
      const before = await rowVersions(shop)
      if (inside) await dataSource.transaction((manager) => call({ manager, Archive }))
      else await call({ manager: dataSource.manager, Archive })
      const written = differences(before, await rowVersions(shop))
      expect(unique(await app.published())).toEqual(written)
      // Item 99, which some criteria name, is there before it is known that there is no such row.
      expect(unique(await app.delayed()).filter((key) => key !== 'items:99')).toEqual(written)
      expect(app.log).toEqual([])
    }
  })
})

test('an upsert that skips what is the same: its event names the skipped row too, which does no harm', async () => {
  await shop.fill()
  const app = await shop.attach()
  await shop.dataSource.manager.upsert(
    Coupon,
    [
      { code: 'abc', used: 0 },
      { code: 'xyz', used: 4 },
    ],
    { conflictPaths: ['code'], skipUpdateIfNoValuesChanged: true },
  )
  expect(unique(await app.published())).toEqual(['coupons:abc', 'coupons:xyz'])
})

describe('transactions', () => {
  test('a rollback publishes nothing', async () => {
    await shop.fill()
    const app = await shop.attach()
    const failed = shop.dataSource.transaction(async (manager) => {
      await manager.update(Item, { stock: 0 }, { stock: 5 })
      throw new Error('no')
    })
    await expect(failed).rejects.toThrow('no')
    expect(await app.published()).toEqual([])
  })

  test('a savepoint that is rolled back takes only its own statements away', async () => {
    await shop.fill()
    const app = await shop.attach()
    await shop.dataSource.transaction(async (manager) => {
      await manager.update(Item, { name: 'a' }, { stock: 5 })
      await manager.transaction((nested) => nested.update(Item, { name: 'b' }, { stock: 5 }))
      const gone = manager.transaction(async (nested) => {
        await nested.update(Item, { name: 'c' }, { stock: 5 })
        throw new Error('undo')
      })
      await expect(gone).rejects.toThrow('undo')
    })
    expect(await app.published()).toEqual(['items:1', 'items:2'])
  })

  test('the delay messages are in Redis before the commit', async () => {
    await shop.fill()
    const app = await shop.attach()
    const delayed: string[] = []
    shop.dataSource.subscribers.push({
      afterTransactionCommit: async () => {
        delayed.push(...(await app.delayed()))
      },
    })
    try {
      await shop.dataSource.transaction(async (manager) => {
        await manager.update(Item, { stock: 0 }, { stock: 5 })
        await expect.poll(async () => (delayed.push(...(await app.delayed())), delayed.length)).toBe(4)
      })
    } finally {
      shop.dataSource.subscribers.pop()
    }
    expect(new Set(delayed)).toEqual(new Set(['items:1', 'items:2', 'items:3', 'items:4']))
  })

  test('a statement that fails outside a transaction publishes nothing, and leaves no transaction open', async () => {
    await shop.fill()
    const app = await shop.attach()
    const { manager } = shop.dataSource
    await expect(manager.update(Item, { name: 'a' }, { name: 'b' })).rejects.toThrow(/duplicate key/)
    expect(await app.published()).toEqual([])
    expect(await app.redstream.close()).toBeUndefined()
    expect(app.log).toEqual([])
  })
})

describe('outsideTransaction: publish', () => {
  test.each(['update(where)', 'delete(where)', 'insert()', 'save(changed)', 'insert().updateEntity(false)'])(
    '%s is published once when it is done',
    async (name) => {
      await shop.fill()
      const app = await shop.attach({ outsideTransaction: 'publish', delay: { requeue: 'always' } })
      const before = await rowVersions(shop)
      const { manager } = shop.dataSource
      await calls[name]!({ manager, Archive: shop.Archive })
      expect(await app.published()).toEqual(differences(before, await rowVersions(shop)))
      if (!name.startsWith('save')) expect(await app.delayed()).toEqual([])
    },
  )

  test('useTransaction() makes a transaction all the same', async () => {
    await shop.fill()
    const app = await shop.attach({ outsideTransaction: 'publish', delay: { requeue: 'always' } })
    await calls['update().useTransaction()']!({ manager: shop.dataSource.manager, Archive: shop.Archive })
    expect([await app.delayed(), await app.published()]).toEqual([['items:3'], ['items:3']])
  })

  test('also on a query runner of the caller, whatever the setting says: it may have sent BEGIN by itself', async () => {
    await shop.fill()
    const app = await shop.attach({ delay: { requeue: 'always' } })
    const queryRunner = shop.dataSource.createQueryRunner()
    try {
      await queryRunner.query('BEGIN')
      await queryRunner.manager.update(Item, { name: 'a' }, { stock: 5 })
      await queryRunner.query('ROLLBACK')
    } finally {
      await queryRunner.release()
    }
    expect(await shop.dataSource.manager.countBy(Item, { stock: 5 })).toBe(0)
    expect(await app.delayed()).toEqual([])
  })
})

test('returning: off leaves TypeORM alone', async () => {
  await shop.fill()
  const app = await shop.attach({ returning: 'off' })
  await shop.dataSource.manager.update(Item, { name: 'a' }, { stock: 5 })
  expect(await app.published()).toEqual([])
  expect(app.log).toMatchObject([{ level: 'warn', facts: { entity: 'Item' } }])
})

test('a DataSource without Redstream is not touched while another is attached', async () => {
  await shop.fill()
  const app = await shop.attach()
  const other = await new DataSource(shop.space.dataSourceOptions([...entities])).initialize()
  try {
    await other.manager.update(Item, { name: 'a' }, { stock: 5 })
    expect(await app.published()).toEqual([])
  } finally {
    await other.destroy()
  }
})
