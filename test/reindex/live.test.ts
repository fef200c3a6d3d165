import { afterAll, beforeAll, expect, test } from 'vitest'

import type { ReindexProgress } from '../../src/reindex/progress.ts'
import type { ReindexResult } from '../../src/reindex/result.ts'
import { ReindexStore } from '../../src/reindex/store.ts'
import { pause } from '../../src/runtime/backoff.ts'
import { documentOf } from '../fixtures/process/city.ts'
import { waitUntil, type Program } from '../process/support/program.ts'
import { World } from '../process/support/world.ts'

const rows = 20_000
/** The new code declares another type for a field. */
const newCode = { TEST_POPULATION_TYPE: 'long' }

let world: World

beforeAll(async () => {
  world = await World.open({ partitions: 2 })
  await world.dataSource.query(
    `INSERT INTO ${world.space.schema}.cities (id, name, population) SELECT n, 'city ' || n, n FROM generate_series(1, ${rows}) n`,
  )
  // What the workers would have indexed one by one.
  const operations = Array.from({ length: rows }, (_, i) => {
    const id = i + 1
    return [
      { index: { _index: world.index, _id: String(id), version: 1, version_type: 'external_gte' as const } },
      documentOf({ id, name: `city ${id}`, population: id }),
    ]
  })
  await world.client.bulk({ operations: operations.flat(), refresh: true })
})
afterAll(() => world?.dispose())

test('a reindex to another mapping under writes, deletes, searches and two kills', async () => {
  const over = new AbortController()
  let worker = await world.start('consumer', newCode)
  const writing = write(over.signal)
  const searching = search(over.signal)

  const command = launch()
  await copied(rows / 10)
  await worker.kill()
  worker = await world.start('consumer', newCode)
  await copied(rows / 3)
  await worker.kill()
  worker = await world.start('consumer', newCode)
  expect(await command.exit).toEqual({ code: 0, signal: undefined })
  const writes = await stopped(over, writing)
  const searches = await searching

  const result = JSON.parse(command.output.join('\n')) as ReindexResult
  expect(result).toMatchObject({ name: world.index })
  expect(result.to).not.toBe(result.from)
  const mapping = await world.client.indices.getMapping({ index: world.index })
  expect(mapping[result.to]?.mappings.properties?.['population']).toEqual({ type: 'long' })
  await world.caughtUp()
  await expectEqual(world.index)
  // So that a rollback loses nothing.
  await expectEqual(result.from)
  expect(writes).toBeGreaterThan(50)
  expect(searches.asked).toBeGreaterThan(10)
  expect(searches.failed).toEqual([])
})

/** Slow enough that something can happen while it copies. */
function launch(): Program {
  return world.launch(`reindex ${world.index} --json --workers 1 --rate 4000 --batch-size 250`, newCode)
}

/** Waits until so many rows are copied. */
async function copied(wanted: number): Promise<void> {
  const store = new ReindexStore(world.redis, world.partitions)
  let found: Pick<ReindexProgress, 'rows'> = { rows: 0 }
  await waitUntil(
    async () => {
      const state = await store.read()
      if (state !== undefined) found = await store.progress(state.id)
      return found.rows >= wanted
    },
    () => `only ${found.rows} rows are copied`,
  )
}

/** Changes, adds and removes cities until it is told to stop; returns how often. */
async function write(signal: AbortSignal): Promise<number> {
  const { manager } = world.dataSource
  let writes = 0
  for (let i = 1; !signal.aborted; i++) {
    const id = ((i * 7_919) % rows) + 1
    if (i % 4 === 0) await manager.save(world.city(rows + i, 'new', i))
    else if (i % 4 === 1) {
      const found = await manager.findOneBy(world.City, { id })
      if (found !== null) await manager.remove(found)
    } else await manager.save(world.city(id, `changed ${i}`, i))
    writes++
    await pause(5)
  }
  return writes
}

/** Searches twenty times a second; returns how often, and what was wrong with it. */
async function search(signal: AbortSignal): Promise<{ asked: number; failed: string[] }> {
  const failed: string[] = []
  let asked = 0
  while (!signal.aborted) {
    asked++
    await world.client
      .search({ index: world.index, query: { match: { name: 'city' } }, size: 1 })
      .then(({ hits }) => {
        if (hits.hits.length === 0) failed.push('empty')
      })
      .catch((error: unknown) => failed.push(String(error)))
    await pause(50)
  }
  return { asked, failed }
}

async function stopped<T>(over: AbortController, work: Promise<T>): Promise<T> {
  over.abort()
  return work
}

/** Every row has its document, and no other document is there. */
async function expectEqual(index: string): Promise<void> {
  const { client, dataSource, City } = world
  await client.indices.refresh({ index })
  const documents = new Map<string, unknown>()
  const scrolled = client.helpers.scrollSearch({ index, size: 5_000 })
  for await (const { body } of scrolled)
    for (const { _id, _source } of body.hits.hits) documents.set(_id ?? '', _source)
  const cities = await dataSource.manager.find(City)
  const different = cities.filter(
    (city) => JSON.stringify(documents.get(String(city.id))) !== JSON.stringify(documentOf(city)),
  )
  expect(different).toEqual([])
  expect(documents.size).toBe(cities.length)
}
