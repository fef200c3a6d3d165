import { setTimeout as sleep } from 'node:timers/promises'

import type { DataSource, EntityManager } from 'typeorm'

import { randomOf, type Random } from '../../torture/random.ts'
import { Booking, Offer, Owner, Photo, Shop } from '../shop.ts'

type Kind = (manager: EntityManager, shop: Pick<Shop, 'id'>, random: Random) => Promise<unknown>

const kinds: readonly Kind[] = [
  (manager, { id }, random) => manager.save(Shop, { id, visits: random.below(1_000) }),
  (manager, { id }, random) => manager.update(Shop, id, { name: `name ${random.next()}` }),
  (manager, shop, random) => manager.insert(Offer, { article: 'new', cents: random.below(9), shop }),
  // From wherever it was.
  (manager, shop, random) => manager.update(Offer, { cents: random.below(9) }, { shop }),
  (manager, shop, random) => manager.delete(Offer, { cents: random.below(9), shop: { id: shop.id } }),
  (manager, shop, random) => manager.save(Photo, { file: `file ${random.below(20)}`, shop }),
  (manager, { id }) => manager.delete(Photo, { shop: { id } }),
  (manager, _, random) =>
    manager.update(Owner, { name: `owner ${random.below(5)}` }, { name: `owner ${random.below(5)}` }),
  (manager, _, random) =>
    manager.upsert(Booking, { room: 'new', day: random.below(50), guest: `guest ${random.next()}` }, [
      'room',
      'day',
    ]),
  (manager, _, random) => manager.delete(Booking, { room: 'new', day: random.below(50) }),
]

/** Rows that all applications fight over. */
export async function saveContested({ manager }: DataSource): Promise<void> {
  const owners = await manager.save(
    Array.from({ length: 5 }, (_, i) => manager.create(Owner, { name: `owner ${i}` })),
  )
  await manager.save(owners.map((owner) => manager.create(Shop, { name: 'contested', owner })))
}

/** Writes in small transactions, one after the other, until `signal` aborts; returns how many were committed. */
export async function writeSteadily(
  dataSource: DataSource,
  seed: number,
  signal: AbortSignal,
): Promise<number> {
  const random = randomOf(seed, 'steady writes')
  const shops = await dataSource.manager.find(Shop, { select: { id: true } })
  let committed = 0
  while (!signal.aborted) {
    try {
      await dataSource.transaction(async (manager) => {
        for (let i = random.below(3); i >= 0; i--)
          await random.pick(kinds)(manager, random.pick(shops), random)
      })
      committed++
    } catch (error) {
      // Deadlocks, and two who insert the same key: class 40, and 23505.
      if (!/^(40|23505)/.test(String((error as { code?: unknown }).code))) throw error
    }
    await sleep(random.between(0, 10))
  }
  return committed
}
