import { Column, DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm'
import { expect, test } from 'vitest'

import { testSpace } from '../support/services.ts'

@Entity()
class Lighthouse {
  @PrimaryGeneratedColumn('increment', { type: 'int' })
  id!: number

  @Column('text')
  name!: string
}

test('entities with decorators are stored in the schema of the space, raw queries included', async () => {
  const space = await testSpace()
  const dataSource = new DataSource({ ...space.dataSourceOptions([Lighthouse]), synchronize: true })
  await dataSource.initialize()
  const saved = await dataSource.getRepository(Lighthouse).save({ name: 'Pharos' })
  expect(await dataSource.query('SELECT id, name FROM lighthouse')).toEqual([
    { id: saved.id, name: 'Pharos' },
  ])
  await dataSource.destroy()
  await space.dispose()
})

test('dispose removes the schema, the keys and the indices of the space and no others', async () => {
  const [space, neighbour] = await Promise.all([testSpace(), testSpace()])
  const [redis, elasticsearch] = [neighbour.redis(), neighbour.elasticsearch()]
  for (const { namespace, indexPrefix } of [space, neighbour]) {
    await redis.set(`${namespace}:{cities}:ticket`, '1')
    await elasticsearch.indices.create({ index: `${indexPrefix}cities` })
  }
  const database = new DataSource(neighbour.dataSourceOptions([]))
  await database.initialize()

  await space.dispose()

  expect(await redis.keys(`${space.namespace}*`)).toEqual([])
  expect(await redis.keys(`${neighbour.namespace}*`)).toEqual([`${neighbour.namespace}:{cities}:ticket`])
  expect(await elasticsearch.indices.exists({ index: `${space.indexPrefix}cities` })).toBe(false)
  expect(await elasticsearch.indices.exists({ index: `${neighbour.indexPrefix}cities` })).toBe(true)
  const schemas = 'SELECT nspname FROM pg_namespace WHERE nspname = ANY($1)'
  expect(await database.query(schemas, [[space.schema, neighbour.schema]])).toEqual([
    { nspname: neighbour.schema },
  ])
  await database.destroy()
  await neighbour.dispose()
})
