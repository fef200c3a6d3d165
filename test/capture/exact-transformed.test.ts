import { DataSource, EntitySchema, In } from 'typeorm'
import { expect, test } from 'vitest'

import { Indexed } from '../../src/indexed.ts'
import { Redstream } from '../../src/redstream.ts'
import { testSpace } from '../support/services.ts'

test('criteria of a column with a transformer are compared with what it stores', async () => {
  const space = await testSpace()
  class Coin {
    id!: number
    euros!: number
    owner!: string
  }
  Indexed<Coin>({ index: `${space.indexPrefix}coins` })(Coin)
  const schema = new EntitySchema<Coin>({
    name: 'Coin',
    target: Coin,
    tableName: 'coins',
    columns: {
      id: { type: 'integer', primary: true },
      euros: {
        type: 'integer',
        transformer: { to: (euros: number) => euros * 100, from: (cents: number) => cents / 100 },
      },
      owner: { type: 'text' },
    },
  })
  const dataSource = await new DataSource({
    ...space.dataSourceOptions([schema]),
    synchronize: true,
  }).initialize()
  const redstream = await Redstream.attach(dataSource, { redis: space.redisUrl, namespace: space.namespace })
  try {
    const coins = [1, 2, 5].map((euros, id) => Object.assign(new Coin(), { id, euros, owner: 'Ann' }))
    await dataSource.manager.save(coins)
    expect(await redstream.update(Coin, { euros: In([1, 5]) }, { owner: 'Bob' })).toEqual({ affected: 2 })
    expect(await redstream.delete(Coin, { euros: 2 })).toEqual({ affected: 1 })
    const left = await dataSource.manager.find(Coin, { order: { id: 'ASC' } })
    expect(left.map(({ euros, owner }) => [euros, owner])).toEqual([
      [1, 'Bob'],
      [5, 'Bob'],
    ])
  } finally {
    await redstream.close()
    await dataSource.destroy()
    await space.dispose()
  }
})
