import type { EntityManager } from 'typeorm'

import { bulkPaths, bulkWeights } from './bulk-paths.ts'
import { changes, changeWeights, compoundChanges, compoundWeights } from './changes.ts'
import { Booking, Product } from './entities.ts'
import { RolledBack, type Path, type Write } from './write.ts'

/** Every way to write that is safe against a crash at any moment. */
const paths = {
  save: (write) => change(write, write.dataSource.manager),
  transaction: (write) => write.transaction((manager) => several(write, manager)),
  'query runner': async (write) => {
    const runner = write.dataSource.createQueryRunner()
    try {
      await runner.startTransaction()
      try {
        await several(write, runner.manager)
        write.hurry()
        await runner.commitTransaction()
      } catch (error) {
        if (runner.isTransactionActive) await runner.rollbackTransaction()
        throw error
      }
    } finally {
      await runner.release()
    }
  },
  'savepoint kept': (write) =>
    write.transaction(async (manager) => {
      await several(write, manager)
      await manager.transaction((inner) => several(write, inner))
      await several(write, manager)
    }),
  'savepoint rolled back': (write) =>
    write.transaction(async (manager) => {
      await several(write, manager)
      await ignoring(
        RolledBack,
        manager.transaction(async (inner) => {
          await several(write, inner)
          if (write.random.chance(0.5)) await inner.transaction((innermost) => several(write, innermost))
          throw new RolledBack()
        }),
      )
      if (write.random.chance(0.5)) await several(write, manager)
    }),
  'rolled back': (write) =>
    write.transaction(async (manager) => {
      await several(write, manager)
      throw new RolledBack()
    }),
  'refused save': async (write) => {
    await write.dataSource.manager.save([write.product(), write.product(-1)])
  },
  'refused save in a savepoint': (write) =>
    write.transaction(async (manager) => {
      await several(write, manager)
      const refused = manager.transaction((inner) => inner.save([write.product(), write.product(-1)]))
      await ignoring(Error, refused)
      await several(write, manager)
    }),
  // The server answers COMMIT with ROLLBACK.
  'refused save, swallowed': (write) =>
    write.transaction(async (manager) => {
      await several(write, manager)
      await ignoring(Error, manager.save(write.product(-1)))
    }),
  'insert and upsert': (write) =>
    write.transaction(async (manager) => {
      const products = [write.product(), write.product()]
      await manager.insert(Product, products)
      for (const { id } of products) write.note('insert', `products ${id}`)
      const booking = { room: 'upserted', day: Math.floor(write.seconds * 2), guest: write.label }
      write.note('upsert', `bookings ${booking.room} ${booking.day}`)
      await manager.upsert(Booking, booking, ['room', 'day'])
    }),
  'saved again': (write) =>
    write.transaction(async (manager) => {
      const product = await manager.save(write.product())
      write.note('insert', `products ${product.id}`)
      await manager.save(product)
      await manager.findOneByOrFail(Product, { id: product.id })
      await manager.save(Object.assign(product, { stock: 1_000 }))
      await manager.save(product)
    }),
  ...bulkPaths,
} satisfies Record<string, Path>

const weights: Readonly<Record<keyof typeof paths, number>> = {
  save: 40,
  transaction: 15,
  'query runner': 6,
  'savepoint kept': 6,
  'savepoint rolled back': 6,
  'rolled back': 5,
  'refused save': 2,
  'refused save in a savepoint': 3,
  'refused save, swallowed': 2,
  'insert and upsert': 5,
  'saved again': 3,
  ...bulkWeights,
}

/** Chooses how to write. */
export function choosePath({ random }: Pick<Write, 'random'>): { name: string; run: Path } {
  const name = random.weighted(weights)
  return { name, run: paths[name] }
}

async function change(write: Write, manager: EntityManager): Promise<void> {
  await changes[write.random.weighted(changeWeights)](write, manager)
}

async function several(write: Write, manager: EntityManager): Promise<void> {
  const count = 1 + write.random.below(4)
  for (let i = 0; i < count; i++) {
    if (write.random.chance(0.2)) {
      await compoundChanges[write.random.weighted(compoundWeights)](write, manager)
    } else await change(write, manager)
  }
}

async function ignoring(kind: new () => Error, attempt: Promise<unknown>): Promise<void> {
  await attempt.catch((error: unknown) => {
    if (!(error instanceof kind)) throw error
  })
}
