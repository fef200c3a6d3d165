import { afterEach, expect, test } from 'vitest'

import type { ReindexWishes } from '../../src/reindex/begin.ts'
import { ReindexWorker } from '../../src/reindex/reindex-worker.ts'
import type { ReindexState } from '../../src/reindex/state.ts'
import { settingsFrom } from '../../src/runtime/settings.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import { recordingLogger } from '../support/captured.ts'
import { pipelined, type Pipelined } from '../support/pipelined.ts'
import { eventually, gate } from '../support/streams.ts'

let app: Pipelined
let stop: AbortController
const pipelines: Pipeline[] = []

afterEach(async () => {
  stop.abort()
  for (const pipeline of pipelines.splice(0)) await pipeline.close()
  await app.dispose()
})

const wishes: ReindexWishes = { keepOldMs: 3_600_000, rate: 0 }
const never = new AbortController().signal

/** An application with so many cities in its table and its index; its workers do not go on with a reindex. */
async function applicationWith(
  cities: number,
  settings: Parameters<typeof pipelined>[0] = {},
): Promise<void> {
  app = await pipelined({ takeOverAfter: '1s', ...settings })
  stop = new AbortController()
  for (const worker of app.pipeline.workers(['consumer']))
    if (!(worker instanceof ReindexWorker)) void worker.run(stop.signal)
  await app.dataSource.manager.save(Array.from({ length: cities }, (_, i) => app.city(`city ${i}`)))
  await app.redstream.drained()
}

async function indices(): Promise<string[]> {
  return Object.keys(await app.client.indices.get({ index: `${app.index}*` }))
}

/** Waits until a state is reached. */
function reached(check: (state: ReindexState | undefined) => boolean): Promise<void> {
  const { store } = app.pipeline.reindexer(app.index)
  return eventually(async () => expect(check(await store.read())).toBe(true))
}

async function expectInSync(rows: number): Promise<void> {
  await app.redstream.drained()
  await app.client.indices.refresh({ index: app.index })
  const { hits } = await app.client.search<{ name: string }>({ index: app.index, size: 10_000 })
  const cities = await app.dataSource.manager.find(app.City)
  expect(cities).toHaveLength(rows)
  const documents = new Map(hits.hits.map(({ _id, _source }) => [_id, _source]))
  expect(documents).toEqual(new Map(cities.map((city) => [String(city.id), { ...city }])))
}

test('Redis loses the targets while rows are copied: another copy is made', async () => {
  await applicationWith(200, { batchSize: 10 })
  const reindexer = app.pipeline.reindexer(app.index)
  const [before] = await indices()
  const reindexing = reindexer.start({ ...wishes, rate: 100 }, { hands: 1 }, never)
  await reached((state) => state?.phase === 'copying')
  const first = await reindexer.store.read()
  await app.space.redis().del(app.partition.keys.targets)
  // A consumer learns the targets anew, without the new index: this change is missing there.
  await app.dataSource.manager.save(app.city('missed'))
  await app.redstream.drained()
  const state = await reindexing
  expect(state).toMatchObject({ phase: 'keeping', attempt: 2, from: before })
  expect(new Set(await indices())).toEqual(new Set([before, state.to]))
  expect(state.to).not.toBe(first?.to)
  await expectInSync(201)
})

test('Redis loses the targets right after the swap: the new index stays, and another copy is made of the rows', async () => {
  await applicationWith(50)
  const [before] = await indices()
  const swapped: string[] = []
  const checkpoint = async (point: string): Promise<void> => {
    if (point !== 'after swapping' || swapped.length > 0) return
    swapped.push(...Object.keys(await app.client.indices.getAlias({ name: app.index })))
    await app.space.redis().del(app.partition.keys.targets)
    // As a consumer that has asked Elasticsearch before the swap teaches them: this change misses the new index.
    await app.space.redis().sadd(app.partition.keys.targets, `${before}.write`)
    await app.dataSource.manager.save(app.city('missed'))
    await app.redstream.drained()
  }
  const state = await app.pipeline.reindexer(app.index).start(wishes, { hands: 1, checkpoint }, never)
  expect(state).toMatchObject({ phase: 'keeping', attempt: 2, from: swapped[0] })
  expect(new Set(await indices())).toEqual(new Set([state.from, state.to]))
  await expectInSync(51)
})

test('the new index is deleted by hand while rows are copied: nothing has changed, and the reason is told', async () => {
  await applicationWith(100, { batchSize: 10 })
  const before = await indices()
  const reindexing = app.pipeline.reindexer(app.index).start({ ...wishes, rate: 50 }, { hands: 1 }, never)
  await reached((state) => state?.phase === 'copying')
  const added = (await indices()).find((name) => !before.includes(name))
  await app.client.indices.delete({ index: added! })
  expect(await reindexing).toMatchObject({ phase: 'undone', problem: expect.stringContaining(added!) })
  expect(await indices()).toEqual(before)
  await expectInSync(100)
})

test('Elasticsearch refuses the mapping: nothing has changed', async () => {
  await applicationWith(10)
  const before = await indices()
  const reindexer = app.pipeline.reindexer(app.index)
  const { definition } = app.pipeline.site(app.index)
  Object.assign(definition.options, { mappings: { properties: { name: { type: 'no such type' } } } })
  const state = await reindexer.start(wishes, { hands: 1 }, never)
  expect(state).toMatchObject({ phase: 'undone', problem: expect.stringContaining('"name"') })
  expect(await indices()).toEqual(before)
})

test('a second reindex is refused and says who runs the first one; cancelling undoes it', async () => {
  await applicationWith(100, { batchSize: 10 })
  const before = await indices()
  const reindexer = app.pipeline.reindexer(app.index)
  const reindexing = reindexer.start({ ...wishes, rate: 10 }, { hands: 1 }, never)
  await reached((state) => state?.phase === 'copying')
  await expect(reindexer.start(wishes, { hands: 1 }, never)).rejects.toThrow(
    new RegExp(`process ${process.pid} on .* since \\d{4}-`),
  )
  expect(await reindexer.board.read()).toMatchObject({
    phase: 'copying',
    total: 100,
    driver: { pid: process.pid },
  })
  expect(await reindexer.cancel(never)).toMatchObject({ phase: 'undone' })
  expect(await reindexing).toMatchObject({ phase: 'undone', problem: 'it was cancelled' })
  expect(await indices()).toEqual(before)
  await expect(reindexer.cancel(never)).rejects.toThrow(/no reindex .* is under way/)
  await expect(reindexer.rollBack(never)).rejects.toThrow(/no older index/)
})

test('stopped and run again, a slice goes on at its cursor', async () => {
  const built: string[] = []
  app = await pipelined(
    { batchSize: 10 },
    {
      document: (city) => {
        built.push(city.name)
        return { ...city }
      },
    },
  )
  stop = new AbortController()
  await app.dataSource.manager.save(Array.from({ length: 100 }, (_, i) => app.city(`city ${i}`)))
  const reindexer = app.pipeline.reindexer(app.index)
  const stopping = new AbortController()
  const stopped = reindexer.start({ ...wishes, rate: 50 }, { hands: 1 }, stopping.signal)
  await eventually(async () => expect((await reindexer.board.read())?.rows).toBeGreaterThanOrEqual(30))
  stopping.abort()
  const { id } = await stopped
  const { rows } = await reindexer.store.progress(id)
  expect(built).toHaveLength(rows)
  const state = await reindexer.start(wishes, { hands: 1 }, never)
  expect(state).toMatchObject({ id, phase: 'keeping', documents: 100 })
  expect(built).toEqual(Array.from({ length: 100 }, (_, i) => `city ${i}`))
})

test('of two who take a slice for theirs, one moves its cursor, and rows count once', async () => {
  const held = gate()
  const holding = gate()
  let isHeld = false
  app = await pipelined(
    { batchSize: 10 },
    {
      document: async (city) => {
        if (city.name === 'city 25' && !isHeld) {
          isHeld = true
          holding.open()
          await held.passed
        }
        return { ...city }
      },
    },
  )
  stop = new AbortController()
  const cities = await app.dataSource.manager.save(
    Array.from({ length: 50 }, (_, i) => app.city(`city ${i}`)),
  )
  const reindexer = app.pipeline.reindexer(app.index)
  const { store } = reindexer
  const reindexing = reindexer.start(wishes, { hands: 1 }, never, ({ phase }) => phase === 'restoring')
  await holding.passed
  const { id } = (await store.read())!
  const { cursor } = (await store.sliceProgress(id, 0))!
  expect(cursor).toBe(String(cities[19]!.id))
  // Somebody who took it over, because this process looked dead, has gone on with it meanwhile.
  const page = { after: cursor, last: String(cities[39]!.id), rows: 20, bytes: 0 }
  expect(await store.copied(id, 0, page)).toBe(true)
  held.open()
  await reindexing
  expect(await store.progress(id)).toMatchObject({ rows: 50, done: 1, open: [] })
  expect(await store.copied(id, 0, page)).toBe(false)
})

test('workers that run finish what was begun and left to them, and drop the old index in time', async () => {
  await applicationWith(100, { batchSize: 10 })
  const reindexer = app.pipeline.reindexer(app.index)
  const begun = await reindexer.start(
    { ...wishes, keepOldMs: 500 },
    { hands: 0 },
    never,
    ({ phase }) => phase === 'copying',
  )
  expect(begun.phase).toBe('copying')
  app.start('consumer')
  app.start('consumer')
  const settled = await reindexer.wait({ hands: 0 }, never)
  expect(settled).toMatchObject({ id: begun.id, documents: 100 })
  await reached((state) => state?.phase === 'done')
  expect(await indices()).toEqual([begun.to])
  await expectInSync(100)
})

test('a row that cannot be indexed in the new index becomes a dead letter, and is tried again after the swap', async () => {
  await applicationWith(20)
  const { definition } = app.pipeline.site(app.index)
  const [city] = await app.dataSource.manager.find(app.City)
  await app.dataSource.manager.save(Object.assign(city!, { population: 1_000 }))
  await app.redstream.drained()
  Object.assign(definition.options, { mappings: { properties: { population: { type: 'byte' } } } })
  const state = await app.pipeline.reindexer(app.index).start(wishes, { hands: 1 }, never)
  expect(state).toMatchObject({ phase: 'keeping', documents: 19 })
  const letters = await app.pipeline.deadLetters({})
  expect(letters).toMatchObject([{ id: String(city!.id), type: 'document_parsing_exception' }])
})

test('an index that was made by hand is refused, with the way to adopt it', async () => {
  await applicationWith(1)
  const [physical] = await indices()
  await app.client.indices.delete({ index: physical! })
  await app.client.indices.create({ index: app.index })
  const reindexer = app.pipeline.reindexer(app.index)
  await expect(reindexer.start(wishes, { hands: 1 }, never)).rejects.toThrow(/--adopt/)
  expect(await indices()).toEqual([app.index])
})

test('a target whose index is gone is forgotten, and the changes arrive', async () => {
  await applicationWith(1)
  const { targets } = app.partition.keys
  // As a driver leaves it that was paused when it registered an index, and came back when it was dropped.
  await app.space.redis().sadd(targets, 'gone.write')
  await app.dataSource.manager.save(app.city('Rome'))
  await expectInSync(2)
  expect(await app.space.redis().smembers(targets)).toHaveLength(1)
})

test('a process that declares the index otherwise leaves the reindex alone', async () => {
  await applicationWith(20)
  const log: Parameters<typeof recordingLogger>[0] = []
  const other = await openPipeline(
    {
      dataSource: app.dataSource,
      redis: app.space.redisUrl,
      elasticsearch: app.space.elasticsearchUrl,
      settings: settingsFrom({ namespace: app.space.namespace }),
    },
    recordingLogger(log),
  )
  pipelines.push(other)
  const begun = await app.pipeline
    .reindexer(app.index)
    .start(wishes, { hands: 0 }, never, ({ phase }) => phase === 'copying')
  const { definition } = other.site(app.index)
  Object.assign(definition, {
    options: { ...definition.options, mappings: { properties: { name: { type: 'keyword' } } } },
  })
  expect(other.reindexer(app.index).mayDrive(begun)).toBe(false)
  await expect(other.reindexer(app.index).start(wishes, { hands: 1 }, never)).rejects.toThrow(
    /declared otherwise/,
  )
})
