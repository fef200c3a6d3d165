import type { DataSource } from 'typeorm'

import {
  Award,
  Category,
  Farmer,
  Footnote,
  Manual,
  Page,
  Person,
  Price,
  Product,
  Region,
  Shelf,
  Trader,
} from './shop-entities.ts'

const uuid = (kind: number, n: number): string =>
  `00000000-0000-4000-8000-${kind}${String(n).padStart(11, '0')}`

/** A small shop in which everything occurs: many, one, none, shared, self-referring and soft-deleted. */
export async function fillShop(dataSource: DataSource): Promise<void> {
  const { manager } = dataSource
  await manager.insert(Region, [
    { code: 'N', name: 'North' },
    { code: 'S', name: 'South' },
    { code: 'a_b:%', name: 'Odd' },
  ])
  await manager.insert(Category, [
    { id: 1, name: 'food' },
    { id: 2, name: 'fruit', parent: { id: 1 } },
    { id: 3, name: 'apples', parent: { id: 2 } },
    { id: 4, name: 'pears', parent: { id: 2 } },
    { id: 5, name: 'empty' },
  ])
  await manager.insert(Farmer, [
    { id: 1, name: 'Ann', hectares: 12, home: { code: 'N' } },
    { id: 2, name: 'Bob', hectares: null },
  ])
  await manager.insert(Trader, [{ id: 3, name: 'Cid', firm: 'Cid & Sons' }])
  await manager.insert(Person, { id: 4, name: 'Dan' })
  await manager.insert(Award, [
    { id: 2, farmer: { id: 1 } },
    { id: 1, farmer: { id: 1 } },
    { id: 3, farmer: { id: 1 }, deletedAt: new Date() },
    { id: 4, farmer: { id: 2 } },
  ])
  const makers = [1, 2, 3, undefined]
  for (let n = 1; n <= 8; n++) {
    const maker = makers[n % 4]
    await manager.insert(Product, {
      sku: `SKU-${n}`,
      cost: `${n}00`,
      colours: n % 3 === 0 ? null : ['red', 'green'].slice(0, n % 3),
      weight: n === 5 ? null : `${n}.50`,
      origin: {
        farm: n % 2 ? `farm ${n}` : null,
        region: n === 7 ? null : { code: ['N', 'S', 'a_b:%'][n % 3] ?? '' },
      },
      maker: maker === undefined ? null : { id: maker },
    })
  }
  await manager.softDelete(Product, '8')
  const link = async (entity: Function, path: string, of: unknown, targets: unknown[]): Promise<void> => {
    if (targets.length > 0) await manager.createQueryBuilder().relation(entity, path).of(of).add(targets)
  }
  for (let n = 1; n <= 8; n++) {
    await link(Product, 'categories', n, [3, 2, 1, 4].slice(0, n % 4))
    await link(Product, 'origin.alsoFrom', n, ['S', 'N'].slice(0, n % 3))
    await link(
      Product,
      'similar',
      n,
      [8, 1, 5].filter((other) => other !== n && (other + n) % 2 === 0),
    )
    for (let p = 0; p < n % 4; p++)
      await manager.insert(Price, {
        id: uuid(1, n * 10 + 5 - p),
        cents: n * 100 + p,
        product: { sku: `SKU-${n}` },
      })
    if (n % 2 === 0) await manager.insert(Manual, { id: n, product: { id: String(n) } })
  }
  await manager.insert(Manual, { id: 100 })
  for (let n = 1; n <= 8; n++)
    await link(Product, 'leaflets', { sku: `SKU-${n}` }, [100, 4, 2].slice(0, n % 4))
  let note = 0
  for (const manualId of [2, 4]) {
    for (const number of ['1', 'a:b', 'ü_%']) {
      await manager.insert(Page, { manualId, number })
      await link(Page, 'regions', { manualId, number }, number === '1' ? [] : ['S', 'N'])
      for (let n = 0; n < number.length; n++) {
        note++
        await manager.insert(Footnote, {
          id: uuid(2, 50 - note),
          text: `note ${note}`,
          page: { manualId, number },
        })
      }
    }
  }
  await manager.insert(Shelf, [{ id: 1 }, { id: 2 }])
  await link(Shelf, 'categories', 1, [3, 1])
  await manager.createQueryBuilder().relation(Shelf, 'region').of(1).set('S')
}
