import { setTimeout as sleep } from 'node:timers/promises'

import { afterAll, beforeAll, expect, test } from 'vitest'

import { saveContested, writeSteadily } from './processes/steady-writes.ts'
import { Booking, Offer, Shop } from './shop.ts'
import { Stage } from './stage.ts'
import type { Witness } from './witness.ts'

const many = 20_000
const lanes = 4
const writingMs = 3_000

/** Much in one transaction, and many at the same rows. */
export function muchAndManyAreSeen(witness: Witness): void {
  let stage: Stage

  beforeAll(async () => {
    stage = await Stage.open(witness)
    stage.work('consumer', 'trimmer', ...witness.workers)
  })
  afterAll(() => stage?.dispose())

  test(`a transaction of ${many.toLocaleString('en')} rows`, { timeout: 180_000 }, async () => {
    const { dataSource } = stage
    const rows = Array.from({ length: many }, (_, day) => ({ room: 'large', day, guest: 'Ann' }))
    const insertAll = (room: string) =>
      dataSource.transaction(async (manager) => {
        const shop = await manager.save(Shop, { name: 'large' })
        await manager.insert(Offer, { article: 'bread', cents: 1, shop })
        for (let start = 0; start < many; start += 5_000) {
          await manager.insert(
            Booking,
            rows.slice(start, start + 5_000).map((row) => ({ ...row, room })),
          )
        }
        if (room === 'never') throw new RolledBack()
      })
    await insertAll('large')
    await expect(insertAll('never')).rejects.toThrow(RolledBack)
    await stage.drained()
    expect(await stage.differences()).toEqual([])

    await dataSource.transaction(async (manager) => {
      await manager.update(Booking, { room: 'large' }, { guest: 'Bob' })
      await manager.createQueryBuilder().delete().from(Booking).where('day % 2 = 0').execute()
    })
    await stage.drained()
    expect(await stage.differences()).toEqual([])
  })

  test('two applications at once at the same rows', async () => {
    const other = await stage.join()
    await saveContested(stage.dataSource)
    const stop = new AbortController()
    const writers = [stage, other].flatMap(({ dataSource }, i) =>
      Array.from({ length: lanes }, (_, lane) => writeSteadily(dataSource, i * lanes + lane, stop.signal)),
    )
    await sleep(writingMs)
    stop.abort()
    const committed = await Promise.all(writers)
    expect(Math.min(...committed)).toBeGreaterThan(0)
    await stage.drained()
    expect(await stage.differences()).toEqual([])
  })
}

class RolledBack extends Error {}
