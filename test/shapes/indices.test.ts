import { Column, DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm'
import { afterEach, describe, expect, test } from 'vitest'

import { Indexed, type IndexedOptions } from '../../src/indexed.ts'
import { Redstream } from '../../src/redstream.ts'
import { settingsFrom } from '../../src/runtime/settings.ts'
import { openPipeline } from '../../src/sync/pipeline.ts'
import { recordingLogger } from '../support/captured.ts'
import { testSpace, type TestSpace } from '../support/services.ts'
import { indexNamed, startShapes, type Shapes } from '../support/shapes.ts'

let app: Shapes | undefined
let other: Shapes | undefined
let space: TestSpace | undefined

afterEach(async () => {
  await app?.dispose()
  await other?.dispose()
  await space?.dispose()
  app = other = space = undefined
})

interface CityRow {
  id: number
  name: string
  population: number
}

/** A fresh class with any number of `@Indexed`. */
function cityWith(...indices: unknown[]): new () => CityRow {
  @Entity()
  class City implements CityRow {
    @PrimaryGeneratedColumn({ type: 'int' })
    id!: number

    @Column({ type: 'text' })
    name!: string

    @Column({ type: 'int', default: 0 })
    population!: number
  }
  for (const options of indices) Indexed<City>(options as IndexedOptions<City>)(City)
  return City
}

test('several indices of one entity: each has its own documents, conditions and dead letters', async () => {
  const City = cityWith(
    { index: indexNamed('cities') },
    {
      index: indexNamed('names'),
      partitions: 2,
      when: ({ population }: CityRow) => population > 0,
      document: ({ name }: CityRow) => {
        if (name === 'bad') throw new Error('bad')
        return { name }
      },
    },
  )
  app = await startShapes([City])
  const repository = app.dataSource.getRepository(City)
  const rome = await repository.save({ name: 'Rome', population: 1 })
  const both = async (): Promise<unknown[]> => [
    (await app!.documents('cities')).map(({ body }) => body['name']),
    (await app!.documents('names')).map(({ body }) => body),
  ]
  expect(await both()).toEqual([['Rome'], [{ name: 'Rome' }]])
  await repository.save({ id: rome.id, population: 0 })
  expect(await both()).toEqual([['Rome'], []])
  await app.redstream.bulk(City, {}, () =>
    app!.dataSource.query(`UPDATE ${app!.space.schema}.city SET population = 5, name = 'Roma'`),
  )
  expect(await both()).toEqual([['Roma'], [{ name: 'Roma' }]])
  await repository.save({ name: 'bad', population: 1 })
  expect(await both()).toEqual([['Roma', 'bad'], [{ name: 'Roma' }]])
  await repository.remove(await repository.find())
  expect(await both()).toEqual([[], []])
})

test('index and stream names as functions of the DataSource: one class, a schema for each tenant', async () => {
  const City = cityWith({ index: indexNamed('cities'), stream: indexNamed('changes') })
  app = await startShapes([City])
  other = await startShapes([City])
  await app.dataSource.manager.save(City, { name: 'Rome' })
  const [first, second] = await other.dataSource.manager.save(City, [{ name: 'Bari' }, { name: 'Pisa' }])
  await other.dataSource.manager.remove(City, first!)
  expect((await app.documents('cities')).map(({ body }) => body['name'])).toEqual(['Rome'])
  expect((await other.documents('cities')).map(({ body }) => body)).toEqual([
    { id: second!.id, name: 'Pisa', population: 0 },
  ])
  expect(await other.redstream.inspect(`${other.space.indexPrefix}changes`)).toHaveLength(1)
})

test('indices that differ in what their functions close over', async () => {
  const names = ['first', 'second']
  const City = cityWith(...names.map((name) => ({ index: indexNamed(name), document: () => ({ name }) })))
  app = await startShapes([City])
  await app.dataSource.manager.save(City, { name: 'Rome' })
  for (const name of names) expect((await app.documents(name)).map(({ body }) => body)).toEqual([{ name }])
})

test('a class of somebody else, indexed by a module that is loaded twice', async () => {
  const options = (): unknown => ({ index: indexNamed('cities'), when: ({ name }: CityRow) => name !== 'no' })
  const City = cityWith(options(), options())
  app = await startShapes([City])
  await app.dataSource.manager.save(City, [{ name: 'Rome' }, { name: 'no' }])
  expect(await app.ids('cities')).toEqual(['1'])
})

describe('bad input is refused by attach and by the workers', () => {
  async function refusals(entities: (new () => object)[]): Promise<unknown[]> {
    space = await testSpace()
    const { redisUrl: redis, elasticsearchUrl: elasticsearch, namespace } = space
    const dataSource = await new DataSource(space.dataSourceOptions(entities)).initialize()
    const logger = recordingLogger([])
    const settings = settingsFrom({ namespace })
    const outcomes = await Promise.allSettled([
      Redstream.attach(dataSource, { redis, namespace, logger }),
      openPipeline({ dataSource, redis, elasticsearch, settings }, logger),
    ])
    await dataSource.destroy()
    return outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason : 'accepted'))
  }

  @Indexed<Town>({ index: 'cities', mappings: { properties: { name: { type: 'keyword' } } } })
  @Entity()
  class Town {
    @PrimaryGeneratedColumn({ type: 'int' })
    id!: number

    @Column({ type: 'text' })
    name!: string
  }

  test.each([
    [
      'two entities with one index, whose mappings clash',
      [Town, cityWith({ index: 'cities' })],
      'Town and City have the same index "cities", where their mappings would clash and rows with the same key ' +
        'would overwrite each other; give one of them its own (`index` in @Indexed)',
    ],
    [
      'two @Indexed with one index',
      [cityWith({}, { index: 'city' })],
      /^two @Indexed on City have the same index "city"/,
    ],
    [
      'two indices with one stream',
      [cityWith({ index: 'a', stream: 's' }, { index: 'b', stream: 's' })],
      'two @Indexed on City have the same stream "s"; give one of them its own',
    ],
    [
      'an unknown option',
      [cityWith({ realtions: { country: true } })],
      /^@Indexed on City has no option "realtions"; did you mean "relations"\? It has: index, stream,/,
    ],
    [
      'a wrong type',
      [cityWith({ when: 'population > 0' })],
      '@Indexed on City takes a function as `when`, not "population > 0"',
    ],
    [
      'a wrong type of index',
      [cityWith({ index: 5 })],
      '@Indexed on City takes a text or a function as `index`, not 5',
    ],
    [
      'a function that gives no name',
      [cityWith({ index: () => null })],
      '@Indexed on City: `index` must give a text, not null',
    ],
    ['no options', [cityWith('cities')], '@Indexed on City takes an object, not "cities"'],
    [
      'partitions',
      [cityWith({ partitions: 0 })],
      'City: partitions must be a whole number from 1 to 1024, not 0',
    ],
  ])('%s', async (_, entities, message) => {
    const text = typeof message === 'string' ? message : expect.stringMatching(message)
    const refusal = expect.objectContaining({ code: 'ENTITY', message: text })
    expect(await refusals(entities)).toEqual([refusal, refusal])
  })
})
