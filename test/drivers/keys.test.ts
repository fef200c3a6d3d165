import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { drivers, isAvailable, skipWithout, type Driver } from '../support/databases.ts'
import { Item, Line, Word } from './entities.ts'
import { openShop, type Attached, type Scene, type Shop } from './shop.ts'

describe.each(drivers)('%s: keys', (driver) => {
  const ignoresCase = driver === 'mariadb' || driver === 'mysql'
  let shop: Shop
  let app: Attached
  let scene: Scene

  beforeAll(async () => {
    if (isAvailable(driver)) shop = await openShop(driver)
  })
  afterAll(() => shop?.dispose())
  beforeEach(async (context) => {
    skipWithout(driver, context)
    app = await shop.attach()
    await app.index()
    scene = await shop.fill()
  })

  test('a key in other letters is the same row where the database ignores case, and no row elsewhere', async () => {
    const { manager } = scene
    await manager.update(Word, 'APFEL', { uses: 5 })
    await manager.delete(Word, 'BIRNE')
    expect(await app.documents('words')).toEqual(
      ignoresCase
        ? { Apfel: { text: 'Apfel', uses: 5 } }
        : { Apfel: { text: 'Apfel', uses: 0 }, Birne: { text: 'Birne', uses: 0 } },
    )
    await app.redstream.touch(Word, ['apfel', 'birne'])
    expect(Object.keys(await app.documents('words'))).toEqual(ignoresCase ? ['Apfel'] : ['Apfel', 'Birne'])
  })

  test('a changed key moves the document', async () => {
    const { manager } = scene
    await manager.update(Word, 'Apfel', { text: 'Pfirsich' })
    await manager.transaction((inside) => inside.update(Line, { code: 'y' }, { order: '77' }))
    expect(Object.keys(await app.documents('words')).toSorted()).toEqual(['Birne', 'Pfirsich'])
    expect(Object.keys(await app.documents('lines')).toSorted()).toEqual([
      '4503599627370497:x',
      '77:y',
      '8:x',
    ])
  })

  test('a whole number that JavaScript cannot hold exactly', async () => {
    const { manager } = scene
    const save = (): Promise<unknown> => manager.save(Line, { order: '9007199254740993', code: 'big' })
    if (driver === 'better-sqlite3') {
      await expect(save()).rejects.toThrow(
        /Line\.order is part of the primary key and holds 9007199254740992/,
      )
      expect(await manager.countBy(Line, { code: 'big' })).toBe(0)
    } else {
      await save()
      expect(Object.keys(await app.documents('lines'))).toContain('9007199254740993:big')
    }
  })

  test('an update that waits for another transaction names the rows that match in the end', async (context) => {
    if (driver === 'better-sqlite3') context.skip('SQLite has one writer at a time')
    const { manager, items } = scene
    const other = shop.dataSource.createQueryRunner()
    await other.startTransaction()
    await other.manager.update(Item, items[0].id, { stock: 7 })
    const waiting = manager.update(Item, { stock: 0 }, { stock: 8 })
    await expect.poll(() => locksAwaited(shop, driver)).toBeGreaterThan(0)
    await other.commitTransaction()
    await other.release()
    await waiting
    const documents = await app.documents('items')
    expect(items.map(({ id }) => documents[id]?.['stock'])).toEqual([7, 8, 8, undefined])
  })
})

/**
 * How many statements wait for a row. Not from INNODB_TRX: InnoDB renews what that table shows only when nobody has read
 * it for 100 ms, so whoever asks again and again gets the same answer for ever.
 */
async function locksAwaited({ dataSource }: Shop, driver: Driver): Promise<number> {
  const sql =
    driver === 'postgres'
      ? `SELECT count(*) AS "Value" FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%items%'`
      : "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'"
  const [row] = await dataSource.query<{ Value: unknown }[]>(sql)
  return Number(row?.Value)
}
