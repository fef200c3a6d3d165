import { afterAll, beforeAll, expect, test } from 'vitest'

import { Redstream } from '../../src/redstream.ts'
import { settingsFrom } from '../../src/runtime/settings.ts'
import { partitionsOf, type PartitionKeys } from '../../src/streams/keys.ts'
import { decodeMessages } from '../../src/streams/message.ts'
import { openPipeline } from '../../src/sync/pipeline.ts'
import { catalogue, itemIndex, type Catalogue } from '../fixtures/process/catalogue.ts'
import { recordingLogger } from '../support/captured.ts'
import { testSpace, type TestSpace } from '../support/services.ts'
import { Program, waitUntil } from './support/program.ts'

const items = 20_000

let space: TestSpace
let database: Catalogue
let redstream: Redstream
const programs: Program[] = []

beforeAll(async () => {
  space = await testSpace()
  const { namespace, databaseUrl, redisUrl, elasticsearchUrl } = space
  database = catalogue({ databaseUrl, space: namespace, partitions: 1 })
  const { dataSource } = database
  await dataSource.initialize()
  await dataSource.synchronize()
  const logger = recordingLogger([])
  const pipeline = await openPipeline(
    { dataSource, redis: redisUrl, elasticsearch: elasticsearchUrl, settings: settingsFrom({ namespace }) },
    logger,
  )
  await pipeline.init()
  await pipeline.close()
  redstream = await Redstream.attach(dataSource, { redis: redisUrl, namespace, logger })
})
afterAll(async () => {
  await Promise.all(programs.map((program) => program.kill()))
  await redstream?.close()
  await database?.dataSource.destroy()
  await space?.dispose()
})

/** The streams of makers, which have no index. */
const makers = (): string => `embedded:${space.schema}.makers`

function keysOf(stream: string): PartitionKeys {
  return partitionsOf(space.namespace, stream, 1)[0]!.keys
}

async function start(command: string): Promise<Program> {
  const { databaseUrl, redisUrl, elasticsearchUrl, namespace } = space
  const config = ['--config', 'test/fixtures/process/catalogue.config.ts']
  const program = new Program(
    `redstream ${command}`,
    'bin/redstream.js',
    [...command.split(' '), ...config],
    {
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl,
      ELASTICSEARCH_URL: elasticsearchUrl,
      TEST_SPACE: namespace,
      TEST_PARTITIONS: '1',
    },
  )
  programs.push(program)
  await program.logged('workers are running')
  return program
}

test('a maker of 20,000 items is renamed, and the cascade is killed half-way: another goes on, and all are indexed', async () => {
  const { dataSource, Maker } = database
  const redis = space.redis()
  await dataSource.manager.save(Maker, { id: 1, name: 'old' })
  const { schema } = space
  await dataSource.query(
    `INSERT INTO "${schema}"."items" SELECT id, 1 FROM generate_series(1, ${items}) AS id`,
  )
  await dataSource.manager.save(Maker, { id: 1, name: 'new' })

  const { fanOuts } = keysOf(makers())
  const killed = await start(`consumer --stream ${makers()}`)
  // Its next query waits for this lock.
  await dataSource.transaction(async (manager) => {
    await killed.until(async () => (await redis.exists(fanOuts)) === 1, 'has no cursor')
    await manager.query(`LOCK TABLE "${schema}"."items" IN ACCESS EXCLUSIVE MODE`)
    await killed.kill()
  })
  const [cursor] = await redis.hvals(fanOuts)
  expect(JSON.parse(cursor!)).toMatchObject({ done: false })
  const { bulk } = keysOf(itemIndex(space.namespace))
  const queued = await redis.xlen(bulk)
  expect(queued).toBeGreaterThan(0)
  expect(queued).toBeLessThan(items)

  const heir = await start('consumer')
  expect(await heir.logged('goes on with the owners')).toMatchObject({ after: expect.any(String) as string })
  await redstream.drained({ timeout: 120_000 })
  const entries = await redis.xrange(bulk, '-', '+')
  const ids = entries.flatMap(([, fields]) => decodeMessages(fields).map(({ id }) => id))
  expect(new Set(ids).size).toBe(items)
  // At most the page that was under way twice, and not all from the beginning.
  expect(ids.length).toBeLessThanOrEqual(items + 1_000)
  const client = space.elasticsearch()
  const index = itemIndex(space.namespace)
  await client.indices.refresh({ index })
  const renamed = await client.count({ index, query: { match: { 'maker.name': 'new' } } })
  expect(renamed.count).toBe(items)
  await waitUntil(
    async () => (await redis.exists(fanOuts)) === 0,
    () => 'the cursor is left behind',
  )
})
