import { Booking, Offer, Owner, Shop } from '../shop.ts'
import type { Group, Scene } from './scene.ts'

/** A rollback that the application wants. */
class RolledBack extends Error {}

/** Several writes that belong together. */
export const transactions: Group = {
  made: 'once',
  writes: {
    'several rows of several tables': ({ dataSource, shops: [shop], owners: [owner], booking }) =>
      dataSource.transaction(async (manager) => {
        await manager.save(Object.assign(owner, { name: 'Ola' }))
        await manager.remove(shop.offers)
        await manager.update(Shop, shop.id, { visits: 12 })
        await manager.delete(Booking, { room: booking.room })
      }),
    'the same row again and again': ({ dataSource, booking: { room } }) =>
      dataSource.transaction(async (manager) => {
        await manager.delete(Booking, { room })
        await manager.insert(Booking, { room, day: 1, guest: 'Pia' })
        await manager.update(Booking, { room }, { guest: 'Quin' })
      }),
    'a query runner': async ({ dataSource, label }) => {
      const runner = dataSource.createQueryRunner()
      try {
        await runner.startTransaction()
        await runner.manager.update(Shop, { name: label }, { visits: 13 })
        await runner.commitTransaction()
      } finally {
        await runner.release()
      }
    },
    'a savepoint that is kept': ({ dataSource, shops: [shop, other] }) =>
      dataSource.transaction(async (manager) => {
        await manager.update(Shop, shop.id, { visits: 14 })
        await manager.transaction((inner) => inner.update(Shop, other.id, { visits: 14 }))
      }),
    'a savepoint that is rolled back': ({ dataSource, shops: [shop, other], owners: [owner] }) =>
      dataSource.transaction(async (manager) => {
        await manager.save(Object.assign(shop, { name: 'kept' }))
        await rolledBack(
          manager.transaction(async (inner) => {
            await inner.update(Offer, { shop: { id: shop.id } }, { shop: other })
            await inner.delete(Shop, other.id)
            throw new RolledBack()
          }),
        )
        await manager.update(Owner, owner.id, { name: 'Rob' })
      }),
    'a statement that fails in a savepoint': ({ dataSource, shops: [shop, other] }) =>
      dataSource.transaction(async (manager) => {
        await manager.update(Shop, shop.id, { visits: 15 })
        await manager
          .transaction((inner) => inner.save([shop, other].map((one) => Object.assign(one, { visits: -1 }))))
          .catch(refused)
        await manager.update(Shop, other.id, { visits: 16 })
      }),
  },
}

/** Nothing of it is committed. */
export const rollbacks: Group = {
  made: 'once',
  leavesAll: true,
  writes: {
    'rolled back': (scene) =>
      rolledBack(
        scene.dataSource.transaction(async (manager) => {
          await much({ ...scene, manager })
          throw new RolledBack()
        }),
      ),
    // The server answers COMMIT with ROLLBACK.
    'a statement that fails, and nobody minds': (scene) =>
      scene.dataSource.transaction(async (manager) => {
        await much({ ...scene, manager })
        await manager.save(Object.assign(scene.shops[1], { visits: -1 })).catch(refused)
      }),
    'refused save': ({ manager, shops }) =>
      manager.save(shops.map((shop, i) => Object.assign(shop, { visits: 20 - 30 * i }))).catch(refused),
  },
}

/** A transaction that TypeORM does not know of, and takes for none. */
export const handmadeTransactions: Group = {
  made: 'once',
  writes: {
    'BEGIN by hand': async ({ dataSource, redstream, label }) => {
      const runner = dataSource.createQueryRunner()
      try {
        await runner.query('BEGIN')
        await runner.manager.update(Shop, { name: label }, { visits: 17 })
        // Whoever is told before the commit has looked by now.
        await redstream.drained()
        await runner.query('COMMIT')
      } finally {
        await runner.release()
      }
    },
  },
}

async function much({ manager, shops: [shop], owners: [owner], label }: Scene): Promise<void> {
  await manager.save(Object.assign(owner, { name: 'never' }))
  await manager.delete(Booking, { room: label })
  await manager.update(Offer, { shop: { id: shop.id } }, { cents: 0 })
  await manager.insert(Shop, { name: 'never' })
}

async function rolledBack(attempt: Promise<unknown>): Promise<void> {
  await attempt.catch((error: unknown) => {
    if (!(error instanceof RolledBack)) throw error
  })
}

/** SQLSTATE 23514: the check of `visits`. */
function refused(error: unknown): void {
  if ((error as { code?: unknown }).code !== '23514') throw error
}
