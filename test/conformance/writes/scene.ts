import type { DataSource, EntityManager } from 'typeorm'

import type { Redstream } from '../../../src/redstream.ts'
import { Booking, Owner, Shop, Tag } from '../shop.ts'
import type { Application } from '../stage.ts'

/** Rows that one write may change, and the ways to them. */
export interface Scene {
  /** That of the transaction, where the write is made inside of one. */
  readonly manager: EntityManager
  readonly dataSource: DataSource
  readonly redstream: Redstream
  /** For a connection without TypeORM. */
  readonly databaseUrl: string
  readonly schema: string
  /** Each with two offers and two photos, the first tag, and the first owner. */
  readonly shops: readonly [Shop, Shop]
  readonly owners: readonly [Owner, Owner]
  readonly tags: readonly [Tag, Tag]
  readonly booking: Booking
  /** A text that no other scene has: name of both shops, room of the booking. */
  readonly label: string
}

/** One way to write. */
export type Write = (scene: Scene) => Promise<unknown>

/** Writes that a witness either sees, all of them, or not. */
export interface Group {
  readonly writes: Readonly<Record<string, Write>>
  /** `once`: they have a transaction of their own, or none that TypeORM knows of. Default: inside of one, and without. */
  readonly made?: 'once'
  /** No row is another one in the end. Default: some are. */
  readonly leavesAll?: true
}

let scenes = 0

/** Saves the rows of a new scene. */
export async function newScene(
  { dataSource, redstream }: Application,
  place: Pick<Scene, 'databaseUrl' | 'schema'>,
): Promise<Scene> {
  const { manager } = dataSource
  const label = `scene ${++scenes}`
  const owners = await manager.save(
    [1, 2].map((n) => manager.create(Owner, { name: `${label}, owner ${n}` })),
  )
  const tags = await manager.save([1, 2].map((n) => manager.create(Tag, { name: `${label}, tag ${n}` })))
  const shops = await manager.save(
    [1, 2].map((n) =>
      manager.create(Shop, {
        name: label,
        visits: n,
        owner: owners[0]!,
        tags: [tags[0]!],
        offers: ['bread', 'salt'].map((article) => ({ article, cents: 100 })),
        photos: ['front', 'back'].map((side) => ({ file: `${label}, ${n}, ${side}` })),
      }),
    ),
  )
  const booking = await manager.save(Object.assign(new Booking(), { room: label, day: 1, guest: 'Ann' }))
  return {
    manager,
    dataSource,
    redstream,
    ...place,
    shops: shops as [Shop, Shop],
    owners: owners as [Owner, Owner],
    tags: tags as [Tag, Tag],
    booking,
    label,
  }
}
