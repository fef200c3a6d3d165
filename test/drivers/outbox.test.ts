import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { entriesFor, messagesIn, type OutboxEntry } from '../../src/outbox/entry.ts'
import { OutboxPart } from '../../src/outbox/outbox-part.ts'
import { OutboxTable } from '../../src/outbox/outbox-table.ts'
import { OutboxQueue } from '../../src/outbox/queue.ts'
import { section, tableRows } from '../docs/markdown.ts'
import { drivers, isAvailable, skipWithout } from '../support/databases.ts'
import { calls } from './calls.ts'
import { openShop, type Shop } from './shop.ts'

const columns = ['postgres', 'mariadb', 'mysql', 'better-sqlite3']
const documented = new Map(
  tableRows(section('docs/guarantees.md', 'Other databases')).map(([call = '', ...outcomes]) => [
    call.replaceAll('`', ''),
    outcomes,
  ]),
)

describe.each(drivers)('%s, through the outbox', (driver) => {
  let shop: Shop
  let table: OutboxTable

  beforeAll(async () => {
    if (!isAvailable(driver)) return
    shop = await openShop(driver)
    table = new OutboxTable(shop.dataSource, `${shop.name}_o`)
    await new OutboxPart(table).apply()
  })
  afterAll(async () => {
    if (shop === undefined) return
    await shop.dataSource.query(`DELETE FROM ${table.quoted}`)
    await new OutboxPart(table).remove('everything')
    await shop.dispose()
  })
  beforeEach(async (context) => {
    skipWithout(driver, context)
    await shop.dataSource.query(`DELETE FROM ${table.quoted}`)
  })

  const keysInOutbox = async (): Promise<string[]> => {
    const entries = (await shop.dataSource.query(`SELECT * FROM ${table.quoted}`)) as OutboxEntry[]
    const keys = entries.flatMap((entry) => messagesIn(entry).map(({ id }) => `${entry.source}:${id}`))
    return [...new Set(keys)].toSorted()
  }

  test.each(Object.entries(calls))('%s: what is committed is in the table', async (name, call) => {
    const [outside = '', inside = outside] = (
      documented.get(name)?.[columns.indexOf(driver)] ?? 'missing'
    ).split(' / ')
    for (const within of [false, true]) {
      const scene = await shop.fill()
      const { redstream, log } = await shop.attach({
        capture: 'outbox',
        captureSchema: `${shop.name}_o`,
        // Nothing answers there: the application does without.
        redis: 'redis://127.0.0.1:1',
      })
      const before = await shop.rows()
      if (within) await shop.dataSource.transaction((manager) => call({ ...scene, manager }))
      else await call(scene)
      await redstream.close()
      const after = await shop.rows()
      const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
        (key) => before.get(key) !== after.get(key),
      )
      const reported = log.some(({ message }) => message.includes('names no ids'))
      expect(reported).toBe((within ? inside : outside) === 'reported')
      if (!reported) expect(await keysInOutbox()).toEqual(expect.arrayContaining(changed))
      await shop.dataSource.query(`DELETE FROM ${table.quoted}`)
    }
  })

  test('a rollback, and a savepoint that is rolled back, take their rows with them', async () => {
    const { items } = await shop.fill()
    await shop.attach({ capture: 'outbox', captureSchema: `${shop.name}_o`, redis: 'redis://127.0.0.1:1' })
    const { manager } = shop.dataSource
    await expect(
      manager.transaction(async (inside) => {
        await inside.update('items', items[0].id, { stock: 9 })
        throw new Error('changed my mind')
      }),
    ).rejects.toThrow('changed my mind')
    expect(await keysInOutbox()).toEqual([])
    await manager.transaction(async (outer) => {
      await outer.update('items', items[0].id, { stock: 9 })
      await outer
        .transaction(async (inner) => {
          await inner.update('items', items[1].id, { stock: 9 })
          throw new Error('not this one')
        })
        .catch(() => undefined)
      await outer.transaction((inner) => inner.update('items', items[2].id, { stock: 9 }))
    })
    expect(await keysInOutbox()).toEqual([`items:${items[0].id}`, `items:${items[2].id}`])
  })

  test('nobody waits for an open transaction that has written into the outbox', async () => {
    // One connection for all: nothing is open beside.
    if (table.dialect === 'sqlite') return
    const queue = new OutboxQueue(table)
    const done = { unreadable: new Map(), left: new Set<OutboxEntry>() }
    const entries = (count: number) =>
      Array.from({ length: count }, () => ({ kind: 'messages', source: 'items', body: '[]' }))
    await table.onRunner(async (open) => {
      for (const count of [1, 5, 199]) {
        await open.startTransaction()
        await table.write(open, entries(2))
        await table.onRunner((other) => table.write(other, entries(count)))
        await queue.tryAgain()
        expect(await queue.take({ limit: 200, passedOver: [], heldMs: 60_000 }, async () => done)).toBe(count)
        await open.rollbackTransaction()
      }
    })
  })

  test('ages do not depend on the time zone of whoever writes', async () => {
    if (table.dialect !== 'mysql') return
    const queue = new OutboxQueue(table)
    await table.onRunner(async (application) => {
      for (const zone of ['+09:00', '-09:00']) {
        await application.query(`SET time_zone = '${zone}'`)
        await application.query(
          `INSERT INTO ${table.quoted} (kind, source, body, written_at) VALUES ('messages', 'items', '[]', NOW(6) - INTERVAL 5 MINUTE)`,
        )
        const { oldestMs } = await queue.status()
        expect(oldestMs).toBeGreaterThanOrEqual(300_000)
        expect(oldestMs).toBeLessThan(3_600_000)
        await application.query(`DELETE FROM ${table.quoted}`)
      }
      await application.query('SET time_zone = DEFAULT')
    })
  })

  test('large payloads fit into what the database takes at once, and the relay into its memory', async () => {
    const messages = Array.from({ length: 2_000 }, (_, id) => ({
      id: String(id),
      payload: 'x'.repeat(10_000),
    }))
    await table.onRunner((queryRunner) => table.write(queryRunner, entriesFor('items', 'main', messages)))
    const rows = (await shop.dataSource.query(`SELECT * FROM ${table.quoted}`)) as OutboxEntry[]
    expect(Math.max(...rows.map(({ body }) => body.length))).toBeLessThan(300_000)
    expect(rows.flatMap((row) => messagesIn(row)).map(({ id }) => id)).toEqual(messages.map(({ id }) => id))
  })

  test('relays take it to the index, several at once', async () => {
    const { items } = await shop.fill()
    const app = await shop.attach({ capture: 'outbox', captureSchema: `${shop.name}_o` })
    await app.index()
    await app.index()
    const { manager } = shop.dataSource
    for (let stock = 1; stock <= 20; stock++) await manager.update('items', items[0].id, { stock })
    await manager.delete('items', items[1].id)
    const documents = await app.documents('items')
    expect(documents[String(items[0].id)]).toMatchObject({ stock: 20 })
    expect(documents[String(items[1].id)]).toBeUndefined()
  })
})
