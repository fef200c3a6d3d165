import { Like, MoreThan } from 'typeorm'
import { afterEach, beforeEach, expect, test } from 'vitest'

import type { BulkProgress } from '../../src/capture/producer.ts'
import { captured, type Captured } from '../support/captured.ts'

let app: Captured
let all: string[]

beforeEach(async () => {
  app = await captured()
  const cities = await app.dataSource.manager.save(
    Array.from({ length: 30 }, (_, i) => app.city(`city ${i}`)),
  )
  all = cities.map(({ id }) => String(id))
  await app.space.redis().del(app.partition.keys.main)
})
afterEach(() => app.dispose())

const everything = { id: MoreThan(0) }

test('bulk: delay messages before the callback, the bulk lane after it', async () => {
  const result = await app.redstream.bulk(app.City, everything, async () => {
    expect(new Set(await app.ids('delay'))).toEqual(new Set(all))
    expect(await app.ids('bulk')).toEqual([])
    await app.dataSource.getRepository(app.City).update(everything, { population: 5 })
    return 'done'
  })
  expect(result).toBe('done')
  expect(await app.ids('bulk')).toEqual(all)
  expect(await app.ids('main')).toEqual([])
  expect(await app.ids('delay')).toEqual([])
  expect(app.log.filter(({ level }) => level === 'warn')).toEqual([])
})

test('bulk queues the rows that matched before and those that match afterwards, each once', async () => {
  const repository = app.dataSource.getRepository(app.City)
  await repository.update({ name: Like('city 1%') }, { population: 10 })
  await app.redstream.bulk(app.City, { population: 10 }, async () => {
    await repository.update({ population: 10 }, { population: 0 })
    await repository.update({ name: Like('city 2%') }, { population: 10 })
  })
  const ids = await app.ids('bulk')
  const matching = await repository.findBy([{ name: Like('city 1%') }, { name: Like('city 2%') }])
  expect(ids.toSorted()).toEqual(matching.map(({ id }) => String(id)).toSorted())
})

test('bulk inside a transaction is published after its commit, not before, whichever manager it was given', async () => {
  await app.dataSource.transaction(async (manager) => {
    await app.redstream.bulk(app.City, everything, () =>
      manager.update(app.City, everything, { population: 1 }),
    )
    expect(await app.ids('bulk')).toEqual([])
    await app.redstream.bulk(
      app.City,
      { name: 'city 3' },
      () => manager.query('UPDATE cities SET population = 2 WHERE name = $1', ['city 3']),
      { manager },
    )
    expect(await app.ids('bulk')).toEqual([])
    expect((await app.ids('delay')).length).toBeGreaterThanOrEqual(all.length)
  })
  expect(new Set(await app.ids('bulk'))).toEqual(new Set(all))
  expect(await app.ids('delay')).toEqual([])
})

test('bulk inside a transaction that is rolled back publishes nothing', async () => {
  const failed = app.dataSource.transaction(async (manager) => {
    await app.redstream.bulk(app.City, everything, () =>
      manager.update(app.City, everything, { population: 1 }),
    )
    throw new Error('no')
  })
  await expect(failed).rejects.toThrow('no')
  expect(await app.ids('bulk')).toEqual([])
  await expect.poll(() => app.ids('delay')).toEqual([])
})

test('bulk sees rows that only its own transaction has', async () => {
  let id: number | undefined
  await app.dataSource.transaction(async (manager) => {
    await app.redstream.bulk(app.City, { name: 'raw' }, async () => {
      const rows = await manager.query<{ id: number }[]>(
        "INSERT INTO cities (name) VALUES ('raw') RETURNING id",
      )
      id = rows[0]?.id
    })
  })
  expect(await app.ids('bulk')).toEqual([String(id)])
})

test('a callback that fails still queues what it may have changed, and its error is the one that is thrown', async () => {
  const failed = app.redstream.bulk(app.City, { name: 'city 4' }, async () => {
    await app.dataSource.getRepository(app.City).update({ name: 'city 4' }, { population: 4 })
    throw new Error('half done')
  })
  await expect(failed).rejects.toThrow('half done')
  expect(await app.ids('bulk')).toHaveLength(1)
  expect(await app.ids('delay')).toEqual([])
})

test('bulkDelay and bulkQueue are its halves', async () => {
  const delayed = await app.redstream.bulkDelay(app.City, everything)
  expect(delayed.rows).toBe(30)
  expect(await app.ids('delay')).toHaveLength(30)
  expect(await app.redstream.bulkQueue(app.City, { name: 'city 1' })).toBe(1)
  expect(await app.ids('delay')).toHaveLength(30)
  await app.redstream.bulkQueue(app.City, { name: 'nobody' }, { delayed })
  expect(await app.ids('delay')).toEqual([])
  expect(new Set(await app.ids('bulk'))).toEqual(new Set(all))
})

test('more rows than a page, in key order', async () => {
  await app.dataSource.query("INSERT INTO cities (name) SELECT 'x' FROM generate_series(1, 2500)")
  await app.redstream.bulkQueue(app.City, { name: 'x' })
  const ids = (await app.ids('bulk')).map(Number)
  expect(ids).toHaveLength(2_500)
  expect(ids).toEqual(ids.toSorted((a, b) => a - b))
})

test('progress, page by page, in both looks', async () => {
  await app.dataSource.query("INSERT INTO cities (name) SELECT 'x' FROM generate_series(1, 2500)")
  const progress: BulkProgress[] = []
  const options = { onProgress: (one: BulkProgress) => void progress.push(one) }
  await app.redstream.bulk(
    app.City,
    { name: 'x' },
    () => app.dataSource.manager.update(app.City, { name: 'x' }, { population: 1 }),
    options,
  )
  const pages = [1_000, 2_000, 2_500]
  expect(progress.splice(0)).toEqual([
    ...pages.map((rows) => ({ rows, step: 'delay' })),
    ...pages.map((rows) => ({ rows, step: 'queue' })),
  ])
  await app.redstream.bulkQueue(app.City, { name: 'x' }, options)
  expect(progress).toEqual(pages.map((rows) => ({ rows, step: 'queue' })))
})

test('producer.queue and producer.delay take ids, id maps and entities', async () => {
  const { producer } = app.redstream
  await producer.queue(app.City, 7)
  await producer.queue(app.City, [
    { id: 8 },
    Object.assign(new app.City(), { id: 9, name: 'x', population: 0 }),
  ])
  await producer.delay(app.City, '10')
  expect(await app.ids('main')).toEqual(['7', '8', '9'])
  expect(await app.ids('delay')).toEqual(['10'])
  await expect(producer.queue(app.City, {})).rejects.toThrow(/without its primary key/)
})

test('after_touch: touch publishes without a change; in a transaction after its commit', async () => {
  await app.redstream.touch(app.City, 3)
  expect(await app.ids('main')).toEqual(['3'])
  await app.dataSource.transaction(async (manager) => {
    await app.redstream.touch(app.City, [4, 5], { manager })
    await expect.poll(() => app.ids('delay')).toEqual(['4', '5'])
    expect(await app.ids('main')).toEqual(['3'])
  })
  expect(await app.ids('main')).toEqual(['3', '4', '5'])
  expect(await app.ids('delay')).toEqual([])
})
