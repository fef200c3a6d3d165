import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { waitUntil } from '../process/support/program.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { Booking, Owner, Photo, Shop } from './shop.ts'
import { Stage } from './stage.ts'
import type { Witness } from './witness.ts'

/** Kills every process on the way of a change at every step, and expects that others finish what it has begun. */
export function crashesAreHealed(witness: Witness): void {
  let stage: Stage

  beforeEach(async () => {
    stage = await Stage.open(witness)
    const { manager } = stage.dataSource
    const owner = await manager.save(Owner, { name: 'before' })
    const shops = [1, 2].map((n) => ({
      name: 'crash',
      owner,
      offers: [{ article: 'bread', cents: n }],
      photos: [{ file: `${n}` }],
    }))
    await manager.save(shops.map((shop) => manager.create(Shop, shop)))
    await manager.save(Booking, { room: 'crash', day: 1, guest: 'before' })
  })
  afterEach(() => stage?.dispose())

  /** Workers of every kind that is needed; a delay that is over as soon as somebody looks. */
  const finish = async (): Promise<void> => {
    stage.work('consumer', 'trimmer', ...witness.workers)
    await stage.processes.workers('delayer --delay 100ms')
    await waitUntil(
      async () => (await stage.delayed()) === 0,
      () => 'delay messages are left',
    )
    await stage.drained()
    expect(await stage.differences()).toEqual([])
  }

  describe('the application', () => {
    test.each([
      { scenario: 'killed before its commit', written: 0 },
      { scenario: 'killed after its commit', written: 2_001 },
    ])('$scenario', async ({ scenario, written }) => {
      const application = stage.processes.application(scenario)
      expect(await application.exit).toMatchObject({ signal: 'SIGKILL' })
      const { manager } = stage.dataSource
      expect(await manager.count(Booking)).toBe(Math.max(written, 1))
      await finish()
    })
  })

  describe('a consumer', () => {
    test('killed when it has indexed, and does not know it', async () => {
      const proxy = await TcpProxy.to(stage.space.elasticsearchUrl)
      stage.work(...witness.workers)
      const consumer = await stage.processes.workers('consumer', {
        ELASTICSEARCH_URL: `http://127.0.0.1:${proxy.port}`,
      })
      proxy.dropReplies()
      await write(stage)
      const indexed = async () => (await stage.document('bookings', 'crash:1')) !== undefined
      await consumer.until(indexed, 'has indexed nothing')
      await consumer.kill()
      await proxy.close()
      await write(stage)
      await finish()
    })
  })

  describe.each(witness.workers)('a %s', (kind) => {
    test.each(['has published, and does not know it', 'cannot publish'])(
      'killed when it %s',
      async (when) => {
        const proxy = await TcpProxy.to(stage.space.redisUrl)
        const worker = await stage.processes.workers(kind, { REDIS_URL: `redis://127.0.0.1:${proxy.port}` })
        const publishes = (count: number): Promise<void> =>
          worker.until(async () => (await stage.published()) > count, 'has published nothing')
        // It is at work, and not at its start.
        await publishes(0)
        const before = await stage.published()
        if (when === 'cannot publish') await proxy.refuse()
        else proxy.dropReplies()
        await write(stage)
        if (when !== 'cannot publish') await publishes(before)
        await worker.kill()
        await proxy.close()
        await write(stage)
        await finish()
      },
    )

    test('one of two, again and again, while rows are written', async () => {
      await stage.processes.workers(kind)
      for (let i = 0; i < 3; i++) {
        const worker = await stage.processes.workers(kind)
        for (let j = 0; j < 20; j++) await write(stage)
        await worker.kill()
      }
      await finish()
    })
  })
}

let writes = 0

async function write({ dataSource }: Stage): Promise<void> {
  const value = `write ${++writes}`
  await dataSource.transaction(async (manager) => {
    await manager.update(Owner, { name: 'before' }, { name: 'before' })
    await manager.update(Shop, { name: 'crash' }, { visits: writes })
    await manager.save(Booking, { room: 'crash', day: 1, guest: value })
    await manager.delete(Photo, { file: '1' })
  })
}
