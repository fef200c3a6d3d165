import type { EntityManager } from 'typeorm'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'

import type { AttachOptions } from '../../src/redstream.ts'
import { decodeMessages } from '../../src/streams/message.ts'
import { StreamWriter } from '../../src/streams/stream-writer.ts'
import { hasId, partsOfTransaction, type TransactionText } from '../../src/streams/transaction.ts'
import { captured, published, type Captured } from '../support/captured.ts'

interface Entry {
  readonly rows: string[]
  /** '' when it says only that it belongs to some transaction; undefined when it does not say that either. */
  readonly id: string | undefined
}

/** Which transaction the delay entries of a write name. */
describe('which transaction a delay message belongs to', () => {
  let app: Captured
  afterEach(() => app.dispose())

  async function open(options: AttachOptions = {}, cities = 0): Promise<void> {
    app = await captured(options)
    await app.dataSource.manager.save(Array.from({ length: cities }, (_, i) => app.city(`city ${i}`)))
    await published(app.redstream)
  }

  async function entries(): Promise<Entry[]> {
    await published(app.redstream)
    const found = await app.space.redis().xrange(app.partition.keys.delay, '-', '+')
    return found.map(([, fields]) => ({
      rows: decodeMessages(fields).map(({ id }) => id),
      id: fields[0] === 'transaction' ? partsOfTransaction(fields[1] as TransactionText).id : undefined,
    }))
  }

  /** The id of an open transaction, and its delay entries when the commit may start. */
  async function seen(
    write: (manager: EntityManager) => Promise<unknown>,
  ): Promise<{ id: string; found: Entry[] }> {
    let id = ''
    let found: Entry[] = []
    // At the last moment before COMMIT is sent: nobody waits for subscribers that hear of queries.
    const original = app.dataSource.createQueryRunner.bind(app.dataSource)
    app.dataSource.createQueryRunner = (mode) => {
      const queryRunner = original(mode)
      const query: (...args: unknown[]) => Promise<unknown> = queryRunner.query.bind(queryRunner) as never
      const watched = async (...args: unknown[]): Promise<unknown> => {
        if (args[0] === 'COMMIT') {
          const rows = await query('SELECT pg_current_xact_id_if_assigned()::text AS id')
          id = (rows as [{ id: string }])[0].id
          found = await entries()
        }
        return query(...args)
      }
      queryRunner.query = watched as never
      return queryRunner
    }
    try {
      await app.dataSource.transaction(write)
    } finally {
      app.dataSource.createQueryRunner = original
    }
    await expect.poll(entries).toEqual([])
    return { id, found }
  }

  const calls: Record<string, (manager: EntityManager) => Promise<unknown>> = {
    'save() of a new row': (manager) => manager.save(app.city('Rome')),
    'save() of a changed row': (manager) => manager.save(Object.assign(app.city('Roma'), { id: 1 })),
    'update(where)': (manager) => manager.update(app.City, { population: 0 }, { population: 5 }),
    'remove()': async (manager) => manager.remove(await manager.findOneByOrFail(app.City, { id: 1 })),
    'insert() of 700 rows': (manager) =>
      manager.insert(
        app.City,
        Array.from({ length: 700 }, () => ({ name: 'Rome' })),
      ),
    'redstream.update()': (manager) =>
      app.redstream.update(app.City, { id: 1 }, { population: 5 }, { manager }),
    'redstream.delete()': (manager) => app.redstream.delete(app.City, { id: 1 }, { manager }),
    'touch() beside a write': async (manager) => {
      await app.redstream.touch(app.City, 2, { manager })
      await manager.save(app.city('Rome'))
    },
    'a write after a savepoint that is rolled back': async (manager) => {
      await manager
        .transaction(async (inner) => {
          await inner.save(app.city('nowhere'))
          throw new Error('rolled back')
        })
        .catch(() => undefined)
      await manager.transaction((inner) => inner.save(app.city('Rome')))
    },
    '20 writes': async (manager) => {
      for (let i = 0; i < 20; i++) await manager.save(app.city(`${i}`))
      await manager.update(app.City, 1, { population: 5 })
    },
  }

  test.each(Object.keys(calls))('%s: a short transaction says only that it was open', async (name) => {
    await open({}, 2)
    const { found } = await seen(calls[name]!)
    expect(new Set(found.map((entry) => entry.id))).toEqual(new Set(['']))
  })

  test.each(Object.keys(calls))('%s: a long one has named itself before it commits', async (name) => {
    await open({}, 2)
    const before = (await app.ids('main')).length
    const { id, found } = await seen(async (manager) => {
      await calls[name]!(manager)
      await manager.query('SELECT pg_sleep(1.1)')
    })
    expect(id).toMatch(/^\d+$/)
    const named = new Set(found.flatMap((entry) => (entry.id === id ? entry.rows : [])))
    const changed = (await app.ids('main')).slice(before)
    expect(changed.length).toBeGreaterThan(0)
    expect(changed.filter((row) => !named.has(row))).toEqual([])
    expect(found.every((entry) => entry.id === '' || entry.id === id)).toBe(true)
  })

  test('pages of the bulk lane name it at once', async () => {
    await open()
    const { id, found } = await seen(async (manager) => {
      const rows = Array.from({ length: 2_500 }, () => ({ name: 'many', population: 9 }))
      await app.redstream.insert(app.City, rows, { manager })
      await app.redstream.update(app.City, { population: 9 }, { population: 5 }, { manager })
    })
    const named = found.flatMap((entry) => (entry.id === id ? entry.rows : []))
    expect(named.length).toBeGreaterThanOrEqual(1_500)
  })

  test('what is written after that is named, and so is what a subscriber adds at the last moment', async () => {
    await open()
    app.dataSource.subscribers.push({
      beforeTransactionCommit: async ({ manager }: { manager: EntityManager }) => {
        if ((await manager.count(app.City)) < 3) await manager.save(app.city('late'))
      },
    })
    const { id, found } = await seen(async (manager) => {
      await manager.save(app.city('Rome'))
      await manager.query('SELECT pg_sleep(1.1)')
      await manager.save(app.city('Paris'))
    })
    const named = new Set(found.flatMap((entry) => (entry.id === id ? entry.rows : [])))
    expect([...named].sort()).toEqual(['1', '2', '3'])
  })

  test('a failed statement does not keep a long transaction from its end', async () => {
    await open()
    const failing = app.dataSource.transaction(async (manager) => {
      await manager.save(app.city('Rome'))
      await manager.query('SELECT pg_sleep(1.1)')
      await manager.query('SELECT 1 / 0').catch(() => undefined)
    })
    // PostgreSQL answers COMMIT with ROLLBACK, and TypeORM says nothing.
    await failing
    expect(await app.dataSource.manager.count(app.City)).toBe(0)
    await expect.poll(entries).toEqual([])
  })

  test.each(['reject', 'accept'] as const)(
    'a transaction that fails with the question for its id is not taken for committed (%s)',
    async (onUnavailable) => {
      await open({ onUnavailable })
      const { schema } = app.space
      // As when the query is cancelled, or runs into `statement_timeout`.
      await app.dataSource.query(
        `CREATE FUNCTION "${schema}".pg_current_xact_id_if_assigned() RETURNS xid8 LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'canceling statement'; END $$`,
      )
      const failing = app.dataSource.transaction(async (manager) => {
        await manager.save(app.city('Rome'))
        await manager.query('SELECT pg_sleep(1.1)')
        await manager.query(`SET LOCAL search_path = "${schema}", pg_catalog`)
      })
      await expect(failing).rejects.toThrow('canceling statement')
      expect(await app.dataSource.manager.count(app.City)).toBe(0)
      await expect.poll(entries).toEqual([])
    },
  )

  test('a large one names itself page by page, so that each page has the whole timeout for itself', async () => {
    await open()
    let underWay = 0
    const pages: number[] = []
    const { delay } = StreamWriter.prototype
    const spy = vi.spyOn(StreamWriter.prototype, 'delay')
    spy.mockImplementation(async function (this: StreamWriter, rows, transaction) {
      if (hasId(transaction!)) pages.push(++underWay > 1 ? Infinity : rows.length)
      const written = await delay.call(this, rows, transaction)
      if (hasId(transaction!)) underWay--
      return written
    })
    onTestFinished(() => spy.mockRestore())
    await app.dataSource.transaction(async (manager) => {
      const rows = Array.from({ length: 12_000 }, () => ({ name: 'many', population: 9 }))
      await app.redstream.insert(app.City, rows, { manager })
      await manager.query('SELECT pg_sleep(1.1)')
    })
    expect(pages).toEqual([5_000, 5_000, 2_000])
    expect(new Set(await app.ids('bulk')).size).toBe(12_000)
    await expect.poll(entries).toEqual([])
  })

  test('a rollback takes them all away', async () => {
    await open({}, 1)
    const failing = app.dataSource.transaction(async (manager) => {
      await manager.update(app.City, 1, { population: 5 })
      await expect.poll(async () => (await entries()).length).toBe(1)
      throw new Error('not today')
    })
    await expect(failing).rejects.toThrow('not today')
    await expect.poll(entries).toEqual([])
  })

  test('it costs a short transaction no query', async () => {
    await open({}, 1)
    const queries: string[] = []
    app.dataSource.subscribers.push({
      beforeQuery: ({ query }: { query: string }) => void queries.push(query),
    })
    await app.dataSource.transaction(async (manager) => {
      await manager.save(app.city('Rome'))
      await manager.update(app.City, 1, { population: 5 })
    })
    expect(queries.filter((query) => query.includes('xact'))).toEqual([])
  })

  test('also with returning "off"', async () => {
    await open({ returning: 'off' })
    const { found } = await seen((manager) => manager.save(app.city('Rome')))
    expect(found).toEqual([{ rows: ['1'], id: '' }])
  })

  const without: Record<string, AttachOptions> = {
    'delay.ask "off"': { delay: { ask: 'off' } },
    'requeue "always", where a publish leaves them for the delay': { delay: { requeue: 'always' } },
  }
  test.each(Object.entries(without))('not with %s', async (_, options) => {
    await open(options)
    await app.dataSource.transaction(async (manager) => {
      await manager.save(app.city('Rome'))
      await expect.poll(entries).toEqual([{ rows: ['1'], id: undefined }])
    })
  })
})
