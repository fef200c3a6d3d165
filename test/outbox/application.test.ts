import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { outboxEntity } from '../../src/outbox/outbox-entity.ts'
import { Redstream } from '../../src/redstream.ts'
import { recordingLogger } from '../support/captured.ts'
import { outboxed, type Outboxed } from '../support/outboxed.ts'

/** Nothing listens there. */
const nowhere = 'redis://127.0.0.1:1'

let app: Outboxed
afterEach(() => app.dispose())

describe('an application whose Redis is away', () => {
  beforeEach(async () => {
    app = await outboxed({ redis: nowhere })
  })

  test('writes, and what it wrote is in the outbox', async () => {
    const { manager } = app.dataSource
    const [rome, oslo] = await manager.save([app.city('Rome'), app.city('Oslo')])
    await manager.update(app.City, rome!.id, { population: 1 })
    await app.redstream.touch(app.City, oslo!)
    await app.redstream.producer.queue(app.City, rome!.id)
    const ids = (await app.waiting()).map(({ id }) => Number(id))
    expect(ids).toEqual([rome!.id, oslo!.id, rome!.id, oslo!.id, rome!.id])
    expect(app.log).toEqual([])
  })

  test('learns of it when it asks for the streams', async () => {
    await expect(
      app.redstream.consume(`${app.space.indexPrefix}cities`, 'cache', async () => undefined),
    ).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' })
  })

  test('one statement for the transaction, however many rows it saves', async () => {
    const statements: string[] = []
    app.dataSource.subscribers.push({ beforeQuery: ({ query }) => void statements.push(query) })
    await app.dataSource.manager.save(Array.from({ length: 900 }, (_, i) => app.city(`c${i}`)))
    expect(statements.filter((query) => query.includes('outbox'))).toHaveLength(1)
    const entries = await app.entries()
    expect(entries.map(({ kind }) => kind)).toEqual(['messages', 'messages'])
  })
})

describe('a transaction', () => {
  beforeEach(async () => {
    app = await outboxed({ redis: nowhere })
  })

  test('of 100,000 rows: few rows in the outbox, its memory bounded, most of it for the bulk lane', async () => {
    const { manager } = app.dataSource
    await manager.transaction(async (inside) => {
      for (let page = 0; page < 20; page++) {
        await inside.insert(
          app.City,
          Array.from({ length: 5_000 }, (_, i) => ({ name: `c${page}-${i}` })),
        )
        // What was there before the last page has been written.
        const [{ count }] = (await inside.query(
          `SELECT count(*)::int AS count FROM ${app.table.quoted}`,
        )) as [{ count: number }]
        expect(count).toBeGreaterThanOrEqual(page * 10)
      }
      // Nobody else sees it yet.
      expect(await app.entries()).toEqual([])
    })
    const entries = await app.entries()
    expect(entries.length).toBeLessThan(250)
    expect(entries.filter(({ kind }) => kind === 'bulk').length).toBeGreaterThan(190)
    expect(new Set((await app.waiting()).map(({ id }) => id)).size).toBe(100_000)
  })

  test('large inside a savepoint that is rolled back: only what is committed is there', async () => {
    const { manager } = app.dataSource
    const rows = (from: number) => Array.from({ length: 6_000 }, (_, i) => ({ name: `c${from + i}` }))
    await manager.transaction(async (outer) => {
      await outer.save(app.city('before'))
      await outer
        .transaction(async (inner) => {
          await inner.insert(app.City, rows(0))
          throw new Error('not these')
        })
        .catch(() => undefined)
      await outer.transaction((inner) => inner.insert(app.City, rows(6_000)))
    })
    const ids = (await manager.find(app.City)).map(({ id }) => String(id))
    expect(ids).toHaveLength(6_001)
    expect((await app.waiting()).map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
  })

  test('a row that is written again after a large savepoint with it is rolled back is there', async () => {
    const { manager } = app.dataSource
    const city = await manager.save(app.city('Rome'))
    await manager.query(`DELETE FROM ${app.table.quoted}`)
    await manager.transaction(async (outer) => {
      await outer
        .transaction(async (inner) => {
          await inner.update(app.City, city.id, { population: 1 })
          await inner.insert(
            app.City,
            Array.from({ length: 6_000 }, (_, i) => ({ name: `c${i}` })),
          )
          throw new Error('not these')
        })
        .catch(() => undefined)
      await outer.update(app.City, city.id, { population: 2 })
    })
    expect(await app.waiting()).toEqual([{ id: String(city.id) }])
  })

  test('what another subscriber saves in its hook before the commit is in the outbox too', async () => {
    const { manager, subscribers } = app.dataSource
    let once = false
    subscribers.push({
      beforeTransactionCommit: async ({ manager: inside }) => {
        if (once) return
        once = true
        await inside.save(app.city('late'))
      },
    })
    await manager.transaction((inside) => inside.query('SELECT 1'))
    expect(await app.waiting()).toContainEqual({ id: '1' })
  })
})

test('a payload goes with its message', async () => {
  app = await outboxed({ redis: nowhere }, { payload: (city) => ({ was: city.name }) })
  await app.dataSource.manager.save(app.city('Rome'))
  expect(await app.waiting()).toEqual([{ id: expect.any(String), payload: '{"was":"Rome"}' }])
})

test('written outside a transaction, it goes into the outbox right after', async () => {
  app = await outboxed({ redis: nowhere })
  await app.dataSource.manager.save(app.city('Rome'), { transaction: false })
  expect(await app.waiting()).toContainEqual({ id: '1' })
})

describe('by hand', () => {
  beforeEach(async () => {
    app = await outboxed({ redis: nowhere })
  })

  test('bulk captures as ever, and puts into the outbox what raw SQL changes', async () => {
    const { manager } = app.dataSource
    const cities = await manager.save([app.city('a'), app.city('b'), app.city('c')])
    await manager.query(`DELETE FROM ${app.table.quoted}`)
    await app.redstream.bulk(app.City, { name: 'a' }, async () => {
      await manager.update(app.City, { name: 'b' }, { population: 1 })
      await manager.query(`UPDATE cities SET name = 'd' WHERE name = 'a'`)
    })
    const ids = new Set((await app.waiting()).map(({ id }) => Number(id)))
    expect(ids).toEqual(new Set([cities[0]!.id, cities[1]!.id]))
  })

  test('bulk inside a transaction is in its outbox, and gone with its rollback', async () => {
    const { manager } = app.dataSource
    const [city] = await manager.save([app.city('a')])
    await manager.query(`DELETE FROM ${app.table.quoted}`)
    const write = (fail: boolean) =>
      manager.transaction(async (inside) => {
        await app.redstream.bulk(
          app.City,
          { id: city!.id },
          () => inside.query(`UPDATE cities SET name = 'b'`),
          {
            manager: inside,
          },
        )
        expect(await app.entries()).toEqual([])
        if (fail) throw new Error('no')
      })
    await expect(write(true)).rejects.toThrow('no')
    expect(await app.entries()).toEqual([])
    await write(false)
    expect(new Set((await app.waiting()).map(({ id }) => Number(id)))).toEqual(new Set([city!.id]))
  })

  test('touch belongs to the transaction whose manager it is given', async () => {
    const { manager } = app.dataSource
    const city = await manager.save(app.city('a'))
    await manager.query(`DELETE FROM ${app.table.quoted}`)
    await manager.transaction(async (inside) => {
      await app.redstream.touch(app.City, city.id, { manager: inside })
      expect(await app.entries()).toEqual([])
    })
    expect(await app.waiting()).toEqual([{ id: String(city.id) }])
  })

  test('a delay needs the transaction', async () => {
    const { manager } = app.dataSource
    const city = await manager.save(app.city('a'))
    await manager.query(`DELETE FROM ${app.table.quoted}`)
    await expect(app.redstream.producer.delay(app.City, city.id)).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('pass the manager'),
    })
    await expect(app.redstream.bulkDelay(app.City, { name: 'a' })).rejects.toMatchObject({ code: 'USAGE' })
    const delayed = await manager.transaction((inside) =>
      app.redstream.bulkDelay(app.City, { name: 'a' }, { manager: inside }),
    )
    expect(delayed.rows).toBe(1)
    expect(await app.redstream.bulkQueue(app.City, { name: 'a' }, { delayed })).toBe(1)
    expect(await app.waiting()).toEqual([{ id: String(city.id) }, { id: String(city.id) }])
  })
})

describe('attaching', () => {
  test('without any Redis, which is missed only when it is needed', async () => {
    app = await outboxed()
    await app.redstream.close()
    const url = process.env['REDIS_URL']
    delete process.env['REDIS_URL']
    try {
      const redstream = await Redstream.attach(app.dataSource, app.settings)
      await app.dataSource.manager.save(app.city('Rome'))
      expect(await app.waiting()).toHaveLength(1)
      await expect(redstream.inspect(`${app.space.indexPrefix}cities`)).rejects.toMatchObject({
        code: 'CONFIG',
        message: expect.stringContaining('REDIS_URL'),
      })
      await redstream.close()
    } finally {
      process.env['REDIS_URL'] = url
    }
  })

  test('without the table is refused, and says what to run', async () => {
    app = await outboxed()
    await app.redstream.close()
    await app.pipeline.database.remove('everything')
    await expect(Redstream.attach(app.dataSource, app.settings)).rejects.toMatchObject({
      code: 'DATABASE',
      message: expect.stringMatching(/_o\.outbox does not exist.*redstream init/),
    })
  })

  test('outsideTransaction "publish" does not go with it', async () => {
    app = await outboxed()
    await app.redstream.close()
    const attach = Redstream.attach(app.dataSource, { ...app.settings, outsideTransaction: 'publish' })
    await expect(attach).rejects.toMatchObject({ code: 'CONFIG' })
  })
})

test('a write into a table that has gone is refused, and says what to run', async () => {
  app = await outboxed({ redis: nowhere })
  await app.pipeline.database.remove('everything')
  await expect(app.dataSource.manager.save(app.city('Rome'))).rejects.toMatchObject({
    code: 'DATABASE',
    message: expect.stringContaining('redstream init'),
  })
  expect(await app.dataSource.manager.count(app.City)).toBe(0)
})

test('modes that the database itself serves are not captured here, and bulk is its callback', async () => {
  const log: Parameters<typeof recordingLogger>[0] = []
  app = await outboxed({ capture: 'wal', redis: nowhere, logger: recordingLogger(log) })
  const { manager } = app.dataSource
  const city = await manager.save(app.city('Rome'))
  await app.redstream.bulk(app.City, { id: city.id }, () => manager.update(app.City, city.id, { name: 'x' }))
  await app.redstream.producer.delay(app.City, city.id)
  expect(await app.entries()).toEqual([])
  await expect(app.redstream.touch(app.City, city.id)).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' })
  expect(log).toEqual([])
})

test('the entity is the table that init makes', async () => {
  app = await outboxed()
  const schema = `${app.space.schema}_e`
  const entity = outboxEntity(schema)
  const { manager } = app.dataSource
  await manager.query(`CREATE SCHEMA ${schema}`)
  try {
    await app.redstream.close()
    app.dataSource.setOptions({ entities: [entity, app.City] })
    await app.dataSource.destroy()
    await app.dataSource.initialize()
    await app.dataSource.synchronize()
    const redstream = await Redstream.attach(app.dataSource, {
      ...app.settings,
      captureSchema: schema,
      redis: nowhere,
    })
    await manager.save(app.city('Rome'))
    expect(await app.dataSource.getRepository(entity).find()).toMatchObject([
      { kind: 'messages', problem: null, writtenAt: expect.any(Date) },
    ])
    await redstream.close()
  } finally {
    await app.dataSource.query(`DROP SCHEMA ${schema} CASCADE`)
  }
})
