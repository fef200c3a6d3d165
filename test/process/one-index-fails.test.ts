import type { Client } from '@elastic/elasticsearch'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { Redstream } from '../../src/redstream.ts'
import { settingsFrom } from '../../src/runtime/settings.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import { indexNameOf, twoIndices, type NamedRow, type TwoIndices } from '../fixtures/two-indices/database.ts'
import { recordingLogger } from '../support/captured.ts'
import { testSpace, type TestSpace } from '../support/services.ts'
import { endpointsOf, workerOf, type Endpoints } from './support/endpoints.ts'
import { Program, waitUntil } from './support/program.ts'

let space: TestSpace
let database: TwoIndices
let redstream: Redstream
let pipeline: Pipeline
let client: Client
let run: Program
let endpoints: Endpoints

beforeAll(async () => {
  space = await testSpace()
  const { namespace, databaseUrl, redisUrl, elasticsearchUrl } = space
  database = twoIndices(databaseUrl, namespace)
  const { dataSource } = database
  await dataSource.initialize()
  await dataSource.synchronize()
  const logger = recordingLogger([])
  const settings = settingsFrom({ namespace })
  pipeline = await openPipeline(
    { dataSource, redis: redisUrl, elasticsearch: elasticsearchUrl, settings },
    logger,
  )
  await pipeline.init()
  redstream = await Redstream.attach(dataSource, { redis: redisUrl, namespace, logger })
  client = space.elasticsearch()
  const config = 'test/fixtures/two-indices/redstream.config.ts'
  run = new Program('redstream run', 'bin/redstream.js', ['run', '--http', '0', '--config', config], {
    DATABASE_URL: databaseUrl,
    REDIS_URL: redisUrl,
    ELASTICSEARCH_URL: elasticsearchUrl,
    TEST_SPACE: namespace,
  })
  endpoints = await endpointsOf(run)
})
afterAll(async () => {
  await run?.kill()
  await redstream?.close()
  await pipeline?.close()
  await database?.dataSource.destroy()
  await space?.dispose()
})

const cities = (): string => indexNameOf(space.namespace, 'cities')
const rivers = (): string => indexNameOf(space.namespace, 'rivers')

async function save(entity: new () => NamedRow, id: number, name: string): Promise<void> {
  await database.dataSource.manager.save(Object.assign(new entity(), { id, name }))
}

async function nameIn(index: string, id: number): Promise<string | undefined> {
  const found = await client.get<NamedRow>({ index, id: String(id) }, { ignore: [404] })
  return found._source?.name
}

async function arrives(index: string, id: number, name: string): Promise<void> {
  await waitUntil(
    async () => (await nameIn(index, id)) === name,
    () => `${index} ${id} is not "${name}"`,
  )
}

/** Each river arrives, one after the other, while the city does not, and the process says so. */
async function expectRiversToFlow(first: number): Promise<void> {
  for (let id = first; id < first + 20; id++) {
    await save(database.River, id, `river ${id}`)
    await arrives(rivers(), id, `river ${id}`)
  }
  const ready = await endpoints.ready()
  expect(ready).toMatchObject({ status: 200, reasons: [] })
  expect(workerOf(ready, 'consumer', cities()).waitsFor).toEqual(['Elasticsearch'])
  expect(workerOf(ready, 'consumer', rivers()).waitsFor).toEqual([])
  expect(await endpoints.live()).toMatchObject({ status: 200 })
  const { streams } = await pipeline.status()
  const [late, onTime] = [cities(), rivers()].map((stream) => streams.find(({ name }) => name === stream)!)
  expect(late!.main.pending).toBeGreaterThan(0)
  expect(late!.main.lagMs).toBeGreaterThan(onTime!.main.lagMs)
}

const settings = (block: boolean) =>
  client.indices.putSettings({ index: cities(), settings: { 'index.blocks.write': block } })

test('an index that refuses writes holds up no other, and gets what it missed', async () => {
  await save(database.City, 1, 'before')
  await arrives(cities(), 1, 'before')
  await settings(true)
  await save(database.City, 1, 'while it was blocked')
  expect(await run.logged('Elasticsearch did not take these documents now')).toMatchObject({
    index: cities(),
    type: 'cluster_block_exception',
  })
  await expectRiversToFlow(100)
  expect(await nameIn(cities(), 1)).toBe('before')
  await settings(false)
  await arrives(cities(), 1, 'while it was blocked')
})

test('an index that is deleted holds up no other, and gets what it missed after `init`', async () => {
  const physical = Object.keys(await client.indices.getAlias({ name: cities() }))
  await client.indices.delete({ index: physical })
  await save(database.City, 2, 'while it was gone')
  expect(await run.logged('nothing can be written to this index')).toMatchObject({ index: cities() })
  await expectRiversToFlow(200)
  await pipeline.init()
  await arrives(cities(), 2, 'while it was gone')
  expect(run.hasEnded).toBe(false)
})
