import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { captured, type Captured } from '../support/captured.ts'

describe('what a transaction publishes', () => {
  let app: Captured

  beforeEach(async () => {
    app = await captured()
  })
  afterEach(() => app.dispose())

  test('after_save: a save is in the main stream when it is published, and leaves no delay message', async () => {
    const city = await app.dataSource.manager.save(app.city('Rome'))
    expect(await app.ids('main')).toEqual([String(city.id)])
    expect(await app.ids('delay')).toEqual([])
  })

  test('the delay message is in Redis before the commit', async () => {
    await app.dataSource.transaction(async (manager) => {
      const city = await manager.save(app.city('Rome'))
      await expect.poll(() => app.ids('delay')).toEqual([String(city.id)])
      expect(await app.ids('main')).toEqual([])
    })
    expect(await app.ids('delay')).toEqual([])
  })

  test('an unchanged save sends nothing', async () => {
    const city = await app.dataSource.manager.save(app.city('Rome'))
    await app.dataSource.manager.save(city)
    expect(await app.ids('main')).toEqual([String(city.id)])
  })

  test('a save followed by an unchanged save and a reload in the same transaction is published', async () => {
    const city = await app.dataSource.manager.save(app.city('Rome'))
    await app.dataSource.transaction(async (manager) => {
      city.name = 'Roma'
      await manager.save(city)
      await manager.save(city)
      await manager.findOneByOrFail(app.City, { id: city.id })
    })
    expect(await app.ids('main')).toEqual([String(city.id), String(city.id)])
  })

  test('many saves of a row in one transaction are one message', async () => {
    await app.dataSource.transaction(async (manager) => {
      const city = await manager.save(app.city('Rome'))
      for (const name of ['Roma', 'Rom', 'Rzym']) await manager.save(Object.assign(city, { name }))
    })
    expect(await app.ids('main')).toHaveLength(1)
  })

  test('save of 1,000 entities: one delay entry per 500 rows, one message per row', async () => {
    const cities = await app.dataSource.manager.save(
      Array.from({ length: 1_000 }, (_, i) => app.city(`city ${i}`)),
    )
    expect(new Set(await app.ids('main'))).toEqual(new Set(cities.map(({ id }) => String(id))))
    expect(await app.ids('delay')).toEqual([])
  })

  test('a rolled back transaction publishes nothing and takes its delay messages away', async () => {
    const failed = app.dataSource.transaction(async (manager) => {
      await manager.save(app.city('Rome'))
      throw new Error('no')
    })
    await expect(failed).rejects.toThrow('no')
    expect(await app.ids('main')).toEqual([])
    await expect.poll(() => app.ids('delay')).toEqual([])
  })

  test('a save that fails publishes nothing', async () => {
    const broken = Object.assign(app.city('x'), { population: 'many' })
    await expect(app.dataSource.manager.save(broken)).rejects.toThrow(/invalid input/)
    expect(await app.ids('main')).toEqual([])
    await expect.poll(() => app.ids('delay')).toEqual([])
  })

  test('a savepoint rolled back inside a committed transaction takes only its own changes away', async () => {
    let kept: number[] = []
    await app.dataSource.transaction(async (manager) => {
      const outer = await manager.save(app.city('outer'))
      const inner = await manager.transaction((nested) => nested.save(app.city('inner')))
      const gone = manager.transaction(async (nested) => {
        await nested.save(app.city('gone'))
        throw new Error('undo')
      })
      await expect(gone).rejects.toThrow('undo')
      const last = await manager.save(app.city('last'))
      kept = [outer.id, inner.id, last.id]
    })
    expect(await app.ids('main')).toEqual(kept.map(String))
    expect(await app.ids('delay')).toEqual([])
  })

  test('parallel transactions do not mix', async () => {
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) =>
        app.dataSource.transaction(async (manager) => {
          const city = await manager.save(app.city(`city ${i}`))
          if (i % 2 === 1) throw new Error('odd')
          return city.id
        }),
      ),
    )
    const committed = results.flatMap((result) =>
      result.status === 'fulfilled' ? [String(result.value)] : [],
    )
    expect(new Set(await app.ids('main'))).toEqual(new Set(committed))
    await expect.poll(() => app.ids('delay')).toEqual([])
  })

  test('after_destroy: remove publishes the id that the entity loses', async () => {
    const city = await app.dataSource.manager.save(app.city('Rome'))
    const id = String(city.id)
    await app.dataSource.manager.remove(city)
    expect(await app.ids('main')).toEqual([id, id])
  })

  test('insert outside a transaction is published at once', async () => {
    const { identifiers } = await app.dataSource
      .getRepository(app.City)
      .insert([app.city('a'), app.city('b')])
    expect(await app.ids('main')).toEqual(identifiers.map(({ id }) => String(id)))
  })

  test('ids that another subscriber writes in its beforeTransactionCommit are published too', async () => {
    let late: number | undefined
    const { dataSource } = app
    dataSource.subscribers.push({
      beforeTransactionCommit: async ({ manager }) => {
        if (late !== undefined) return
        late = -1
        // Our hook of this commit is done before this row is written.
        await expect.poll(() => app.ids('delay')).toHaveLength(1)
        late = (await manager.save(app.city('late'))).id
      },
    })
    const city = await dataSource.manager.save(app.city('Rome'))
    expect(await app.ids('main')).toEqual([String(city.id), String(late)])
    expect(await app.ids('delay')).toEqual([])
  })

  test('a COMMIT that the database refuses keeps the delay messages: its outcome might be unknown', async () => {
    await app.dataSource.query(
      'CREATE TABLE parents (id int PRIMARY KEY); ALTER TABLE cities ADD CONSTRAINT deferred FOREIGN KEY (population) REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED',
    )
    await expect(app.dataSource.manager.save(app.city('Rome'))).rejects.toThrow(/foreign key/)
    expect(await app.ids('main')).toEqual([])
    expect(await app.ids('delay')).toHaveLength(1)
  })

  test('a backend that is killed before the commit loses nothing and publishes nothing', async () => {
    const failed = app.dataSource.transaction(async (manager) => {
      await manager.save(app.city('Rome'))
      const [{ pid }] = await manager.query<[{ pid: number }]>('SELECT pg_backend_pid() AS pid')
      await app.dataSource.query('SELECT pg_terminate_backend($1)', [pid])
    })
    await expect(failed).rejects.toThrow()
    expect(await app.ids('main')).toEqual([])
    expect(await app.dataSource.manager.count(app.City)).toBe(0)
  })
})

describe('payload', () => {
  test('the payload of the entity after the write travels with the message', async () => {
    const app = await captured({}, { payload: (city) => ({ name: city.name }) })
    try {
      const city = await app.dataSource.manager.save(app.city('Rome'))
      await app.dataSource.manager.save(Object.assign(city, { name: 'Roma' }))
      expect(await app.messages('main')).toEqual([
        { id: String(city.id), payload: '{"name":"Rome"}' },
        { id: String(city.id), payload: '{"name":"Roma"}' },
      ])
    } finally {
      await app.dispose()
    }
  })

  test('the payload of an insert outside a transaction travels too, and one that fails takes the insert back', async () => {
    const app = await captured(
      { delay: { requeue: 'always' } },
      {
        payload: ({ name }) => {
          if (name === 'bad') throw new Error('no payload for bad')
          return { name }
        },
      },
    )
    try {
      const { manager } = app.dataSource
      await manager.insert(app.City, app.city('good'))
      await expect(manager.insert(app.City, app.city('bad'))).rejects.toThrow('no payload for bad')
      expect(await manager.count(app.City)).toBe(1)
      const message = { id: '1', payload: '{"name":"good"}' }
      expect([await app.messages('delay'), await app.messages('main')]).toEqual([[message], [message]])
    } finally {
      await app.dispose()
    }
  })

  test('a payload that fails: a save is rolled back, a row that is committed already is published without one', async () => {
    const app = await captured(
      { outsideTransaction: 'publish' },
      {
        payload: (city) => {
          if (city.name === 'bad') throw new Error('no payload for bad')
          return { name: city.name }
        },
      },
    )
    try {
      const { manager } = app.dataSource
      await expect(manager.save(app.city('bad'))).rejects.toThrow('no payload for bad')
      expect(await manager.count(app.City)).toBe(0)
      const { identifiers } = await manager.insert(app.City, [app.city('bad'), app.city('good')])
      const [bad, good] = identifiers.map(({ id }) => String(id))
      expect(await app.messages('main')).toEqual([{ id: bad }, { id: good, payload: '{"name":"good"}' }])
      expect(app.log).toContainEqual(
        expect.objectContaining({ level: 'error', message: expect.stringContaining('payload() failed') }),
      )
    } finally {
      await app.dispose()
    }
  })
})

describe('requeue: always, as the gem does', () => {
  test('the delay message stays after the publish', async () => {
    const app = await captured({ delay: { requeue: 'always' } })
    try {
      const city = await app.dataSource.manager.save(app.city('Rome'))
      expect(await app.ids('main')).toEqual([String(city.id)])
      expect(await app.ids('delay')).toEqual([String(city.id)])
    } finally {
      await app.dispose()
    }
  })
})
