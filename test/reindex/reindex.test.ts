import { afterEach, expect, test } from 'vitest'

import type { ReindexWishes } from '../../src/reindex/begin.ts'
import { pipelined, type Pipelined } from '../support/pipelined.ts'

let app: Pipelined

afterEach(() => app.dispose())

const wishes: ReindexWishes = { keepOldMs: 3_600_000, rate: 0 }
const never = new AbortController().signal

test('a reindex copies every row, swaps the alias and keeps the old index up to date; a rollback swaps back', async () => {
  app = await pipelined({ batchSize: 50 })
  app.start('consumer')
  const { manager } = app.dataSource
  const cities = await manager.save(Array.from({ length: 333 }, (_, i) => app.city(`city ${i}`)))
  await app.redstream.drained()
  const before = Object.keys(await app.client.indices.get({ index: app.index }))
  const reindexer = app.pipeline.reindexer(app.index)
  const state = await reindexer.start(wishes, { hands: 2 }, never)
  expect(state).toMatchObject({ phase: 'keeping', documents: 333 })
  const after = Object.keys(await app.client.indices.get({ index: app.index }))
  expect(after).toEqual([state.to])
  expect(after).not.toEqual(before)
  await manager.save(Object.assign(cities[0]!, { name: 'changed' }))
  await manager.remove(cities[1]!)
  await app.redstream.drained()
  await app.client.indices.refresh({ index: app.index })
  expect((await app.client.count({ index: app.index })).count).toBe(332)

  const back = await reindexer.rollBack(never)
  expect(back.phase).toBe('undone')
  expect(Object.keys(await app.client.indices.get({ index: `${app.index}*` }))).toEqual(before)
  expect(await app.document(cities[0]!.id)).toMatchObject({ name: 'changed' })
  await app.client.indices.refresh({ index: app.index })
  expect((await app.client.count({ index: app.index })).count).toBe(332)
})
