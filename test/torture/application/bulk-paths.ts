import { In, type EntityManager } from 'typeorm'

import { Customer, Order, Product } from './entities.ts'
import { RolledBack, type Path, type Write } from './write.ts'

/**
 * Writes that name no ids, wrapped in `bulk` and its halves. The condition is one that no other write makes true for a
 * row at the same time; where one could (an order that gets this customer), the transaction holds a lock against it.
 */
export const bulkPaths = {
  bulk: async (write) => {
    const region = noted(write)
    await write.redstream.bulk(Product, { region }, () => {
      write.hurry()
      return rename(write, write.dataSource.manager, region)
    })
  },
  'bulk with the transaction in it': async (write) => {
    const region = noted(write)
    await write.redstream.bulk(Product, { region }, () =>
      write.transaction((manager) => rename(write, manager, region)),
    )
  },
  'bulk in a transaction': (write) =>
    write.transaction(async (manager) => {
      const region = noted(write)
      await manager.save(write.product())
      await write.redstream.bulk(Product, { region }, () => rename(write, manager, region), { manager })
    }),
  'bulk rolled back': async (write) => {
    const region = noted(write)
    await write.redstream.bulk(Product, { region }, () =>
      write.transaction(async (manager) => {
        await rename(write, manager, region)
        throw new RolledBack()
      }),
    )
  },
  'bulk in a savepoint that is rolled back': (write) =>
    write.transaction(async (manager) => {
      const region = noted(write)
      await manager
        .transaction((inner) =>
          write.redstream.bulk(
            Product,
            { region },
            async () => {
              await rename(write, inner, region)
              throw new RolledBack()
            },
            { manager: inner },
          ),
        )
        .catch((error: unknown) => {
          if (!(error instanceof RolledBack)) throw error
        })
      await manager.save(write.product())
    }),
  'bulkDelay and bulkQueue': async (write) => {
    const region = noted(write)
    const delayed = await write.redstream.bulkDelay(Product, { region })
    write.hurry()
    await rename(write, write.dataSource.manager, region)
    await write.redstream.bulkQueue(Product, { region }, { delayed })
  },
  'bulk delete': async (write) => {
    const { dataSource, random } = write
    const rows = await dataSource.manager.find(Product, {
      where: { region: -1 },
      order: { id: 'DESC' },
      skip: 20 + random.below(20),
      take: 3,
      withDeleted: true,
    })
    const ids = rows.map(({ id }) => id)
    if (ids.length === 0) return
    for (const id of ids) write.note('bulk delete', `products ${id}`)
    await write.redstream.bulk(Product, { id: In(ids) }, () => {
      write.hurry()
      return dataSource.manager.delete(Product, { id: In(ids) })
    })
  },
  'customer renamed': (write) =>
    write.transaction(async (manager) => {
      const customer = await manager
        .createQueryBuilder(Customer, 'row')
        // An order that gets this customer waits for the foreign key's own lock.
        .setLock('pessimistic_write')
        .orderBy('row.id', 'DESC')
        .offset(write.random.below(4))
        .limit(1)
        .getOne()
      if (customer === null) return
      write.note('rename', `customers ${customer.id}`)
      await write.redstream.bulk(
        Order,
        { customer: { id: customer.id } },
        () => manager.save(Object.assign(customer, { name: write.label })),
        { manager },
      )
    }),
} satisfies Record<string, Path>

export const bulkWeights: Readonly<Record<keyof typeof bulkPaths, number>> = {
  bulk: 3,
  'bulk with the transaction in it': 2,
  'bulk in a transaction': 3,
  'bulk rolled back': 1,
  'bulk in a savepoint that is rolled back': 1,
  'bulkDelay and bulkQueue': 2,
  'bulk delete': 2,
  'customer renamed': 4,
}

function noted(write: Write): number {
  const region = write.region()
  write.note('bulk', `products of region ${region}`)
  return region
}

async function rename({ label }: Write, manager: EntityManager, region: number): Promise<void> {
  await manager.update(Product, { region }, { name: label })
}
