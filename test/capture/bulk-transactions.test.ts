import { MoreThan } from 'typeorm'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { Delayer } from '../../src/streams/delayer.ts'
import { defineScripts } from '../../src/streams/scripts.ts'
import { captured, recordingLogger, type Captured } from '../support/captured.ts'

/** Callbacks of `bulk` that write in more than one place, or for longer than expected. */

let app: Captured
let all: string[]

beforeEach(async () => {
  app = await captured({ uncaptured: 'throw' })
  const cities = await app.dataSource.manager.save(Array.from({ length: 3 }, (_, i) => app.city(`city ${i}`)))
  all = cities.map(({ id }) => String(id))
  await app.space.redis().del(app.partition.keys.main)
})
afterEach(() => app.dispose())

const everything = { id: MoreThan(0) }

test('another transaction in the callback does not hide the one that is still open', async () => {
  const { dataSource } = app
  await dataSource.transaction(async (manager) => {
    await app.redstream.bulk(app.City, everything, async () => {
      await manager.update(app.City, everything, { population: 1 })
      await dataSource.transaction((other) => other.query('SELECT 1'))
    })
    await app.space.redis().del(app.partition.keys.bulk)
  })
  expect(new Set(await app.ids('bulk'))).toEqual(new Set(all))
  expect(await app.ids('delay')).toEqual([])
})

test('what was written outside the transaction that is rolled back is published', async () => {
  const { dataSource } = app
  const failed = dataSource.transaction(async (manager) => {
    await app.redstream.bulk(app.City, everything, async () => {
      await manager.find(app.City)
      await dataSource.getRepository(app.City).update(everything, { population: 1 })
    })
    throw new Error('no')
  })
  await expect(failed).rejects.toThrow('no')
  expect(new Set(await app.ids('bulk'))).toEqual(new Set(all))
})

test('two transactions that are open after the callback: each publishes, and the rollback of one takes nothing away', async () => {
  const { dataSource } = app
  const first = dataSource.createQueryRunner()
  const second = dataSource.createQueryRunner()
  try {
    await first.startTransaction()
    await second.startTransaction()
    await app.redstream.bulk(app.City, everything, async () => {
      await first.manager.update(app.City, { id: Number(all[0]) }, { population: 1 })
      await second.manager.update(app.City, { id: Number(all[1]) }, { population: 1 })
    })
    expect(await app.ids('bulk')).toEqual([])
    await first.rollbackTransaction()
    await second.commitTransaction()
  } finally {
    await first.release()
    await second.release()
  }
  expect(await app.ids('bulk')).toContain(all[1])
})

test('bulk inside bulk: the outer one covers writes in the inner callback', async () => {
  await app.dataSource.transaction((manager) =>
    app.redstream.bulk(app.City, everything, () =>
      app.redstream.bulk(app.City, { name: 'city 1' }, () =>
        manager.update(app.City, everything, { population: 1 }),
      ),
    ),
  )
  expect(new Set(await app.ids('bulk'))).toEqual(new Set(all))
})

/** What the Delayer does when the delay is over, and then consumers, who read the rows as they were. */
async function delayIsOver(): Promise<void> {
  const redis = app.space.redis()
  defineScripts(redis)
  const { namespace } = app.space
  await new Delayer({
    redis,
    namespace,
    partitions: [app.partition],
    delayMs: 0,
    logger: recordingLogger([]),
  }).runOnce()
  expect(new Set(await app.ids('main'))).toEqual(new Set(all))
  await redis.del(app.partition.keys.main)
}

test('a callback that takes longer than the delay: its rows are queued all the same', async () => {
  await app.redstream.bulk(app.City, everything, async () => {
    await delayIsOver()
    await app.dataSource.getRepository(app.City).update(everything, { population: 1 })
  })
  expect(new Set(await app.ids('bulk'))).toEqual(new Set(all))
})

test('a transaction that commits after the delay is over: its rows are queued all the same', async () => {
  await app.dataSource.transaction(async (manager) => {
    await app.redstream.bulk(app.City, everything, () =>
      manager.update(app.City, everything, { population: 1 }),
    )
    await delayIsOver()
  })
  expect(new Set(await app.ids('bulk'))).toEqual(new Set(all))
})

test('bulkQueue after the delay is over: the rows that bulkDelay noted are queued all the same', async () => {
  const delayed = await app.redstream.bulkDelay(app.City, everything)
  await delayIsOver()
  await app.redstream.bulkQueue(app.City, { name: 'nobody' }, { delayed })
  expect(new Set(await app.ids('bulk'))).toEqual(new Set(all))
})
