import { afterEach, expect, test } from 'vitest'

import { pipelined, type Pipelined } from '../support/pipelined.ts'

let app: Pipelined

afterEach(() => app.dispose())

test('insert, update, delete: the document follows its row', async () => {
  app = await pipelined()
  app.start('consumer')
  const city = await app.dataSource.manager.save(app.city('Rome'))
  const id = city.id
  await app.redstream.drained()
  expect(await app.document(id)).toEqual({ id, name: 'Rome', population: 0 })
  await app.dataSource.manager.save(Object.assign(city, { name: 'Roma' }))
  await app.redstream.drained()
  expect(await app.document(id)).toMatchObject({ name: 'Roma' })
  await app.dataSource.manager.remove(city)
  await app.redstream.drained()
  expect(await app.document(id)).toBeUndefined()
})

test('when: false deletes the document, true brings it back', async () => {
  app = await pipelined({}, { when: (city) => city.population > 0 })
  app.start('consumer')
  const city = await app.dataSource.manager.save(Object.assign(app.city('Rome'), { population: 1 }))
  await app.redstream.drained()
  expect(await app.document(city.id)).toBeDefined()
  await app.dataSource.manager.save(Object.assign(city, { population: 0 }))
  await app.redstream.drained()
  expect(await app.document(city.id)).toBeUndefined()
  await app.dataSource.manager.save(Object.assign(city, { population: 2 }))
  await app.redstream.drained()
  expect(await app.document(city.id)).toMatchObject({ population: 2 })
})

test('a record whose document() throws, and one that Elasticsearch refuses, become dead letters; their neighbours are indexed', async () => {
  app = await pipelined(
    {},
    {
      mappings: { properties: { population: { type: 'byte' } } },
      document: (city) => {
        if (city.name === 'bad') throw new Error('no document for bad')
        return { name: city.name, population: city.population }
      },
    },
  )
  const make = (name: string, population: number): object => Object.assign(app.city(name), { population })
  const rows = await app.dataSource.manager.save([make('bad', 1), make('large', 1_000), make('good', 1)] as {
    id: number
  }[])
  const [bad, large, good] = rows.map(({ id }) => id)
  app.start('consumer')
  await app.redstream.drained()
  expect(await app.document(good!)).toEqual({ name: 'good', population: 1 })
  const letters = await app.space.redis().hgetall(app.partition.keys.deadLetters)
  expect(JSON.parse(letters[String(bad)]!)).toMatchObject({
    type: 'document_failed',
    reason: 'no document for bad',
    attempts: 1,
  })
  expect(JSON.parse(letters[String(large)]!)).toMatchObject({
    type: 'document_parsing_exception',
    attempts: 1,
  })
  expect(Object.keys(letters)).toHaveLength(2)

  // Mended rows take their letters away.
  await app.dataSource.getRepository(app.City).save({ id: bad!, name: 'mended' })
  await app.dataSource.getRepository(app.City).save({ id: large!, population: 3 })
  await app.redstream.drained()
  expect(await app.space.redis().hlen(app.partition.keys.deadLetters)).toBe(0)
  expect(await app.document(large!)).toMatchObject({ population: 3 })
})

test('a counter that went backwards is raised above the index, and the document is written', async () => {
  app = await pipelined()
  app.start('consumer')
  const city = await app.dataSource.manager.save(app.city('Rome'))
  await app.redstream.drained()
  const future = (Date.now() + 86_400_000) * 1_000
  const { client, index } = app
  await client.index({
    index,
    id: String(city.id),
    document: { name: 'from the future' },
    version: future,
    version_type: 'external',
  })
  await app.dataSource.manager.save(Object.assign(city, { name: 'Roma' }))
  await app.redstream.drained()
  expect(await app.document(city.id)).toMatchObject({ name: 'Roma' })
  expect(await app.version(city.id)).toBeGreaterThan(future)
  expect(app.workerLog).toContainEqual(
    expect.objectContaining({ level: 'error', message: expect.stringContaining('ticket counter') }),
  )
})

test('Redis that lost the targets learns them from Elasticsearch', async () => {
  app = await pipelined()
  await app.space.redis().del(app.partition.keys.targets, app.partition.keys.ticket)
  app.start('consumer')
  const city = await app.dataSource.manager.save(app.city('Rome'))
  await app.redstream.drained()
  expect(await app.document(city.id)).toMatchObject({ name: 'Rome' })
})

test('an index that was deleted: nothing is acknowledged, the log says so, and after init everything arrives', async () => {
  app = await pipelined()
  const { client, index } = app
  const city = await app.dataSource.manager.save(app.city('Rome'))
  const [physical] = Object.keys(await client.indices.getAlias({ name: index }))
  await client.indices.delete({ index: physical! })
  // The new index may get the same name when it is made within the same second.
  await app.space.redis().sadd(app.partition.keys.targets, `${index}-gone.write`)
  app.start('consumer')
  await expect.poll(() => app.workerLog.some(({ level }) => level === 'error')).toBe(true)
  await app.pipeline.init()
  await app.redstream.drained()
  expect(await app.document(city.id)).toMatchObject({ name: 'Rome' })
})

test('several consumers on one stream leave every document equal to its row', async () => {
  app = await pipelined({ batchSize: 7, concurrency: 3 })
  app.start('consumer')
  app.start('consumer')
  app.start('consumer')
  const cities = await app.dataSource.manager.save(
    Array.from({ length: 50 }, (_, i) => app.city(`city ${i}`)),
  )
  for (let round = 1; round <= 10; round++) {
    await Promise.all(
      cities.map((city) =>
        app.dataSource.manager.save(Object.assign(city, { population: city.population + round })),
      ),
    )
  }
  await app.redstream.drained()
  for (const { id } of cities) expect(await app.document(id)).toMatchObject({ population: 55 })
})
