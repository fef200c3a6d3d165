import { afterEach, expect, test } from 'vitest'

import type { ReindexWishes } from '../../src/reindex/begin.ts'
import { ReindexWorker } from '../../src/reindex/reindex-worker.ts'
import type { Reindexer } from '../../src/reindex/reindexer.ts'
import type { ReindexState } from '../../src/reindex/state.ts'
import { pipelined, type Pipelined } from '../support/pipelined.ts'
import { eventually } from '../support/streams.ts'

/** What somebody does to indices and alias while a reindex lasts, or while its old index is kept. */

let app: Pipelined
let reindexer: Reindexer
const stop = { current: new AbortController() }

afterEach(async () => {
  stop.current.abort()
  await app.dispose()
})

const wishes: ReindexWishes = { keepOldMs: 3_600_000 }
const never = new AbortController().signal

async function applicationWith(
  cities: number,
  ...[settings = {}, indexed = {}]: Parameters<typeof pipelined>
): Promise<void> {
  app = await pipelined({ takeOverAfter: '1s', ...settings }, indexed)
  stop.current = new AbortController()
  for (const worker of app.pipeline.workers(['consumer']))
    if (!(worker instanceof ReindexWorker)) void worker.run(stop.current.signal)
  await app.dataSource.manager.save(Array.from({ length: cities }, (_, i) => app.city(`city ${i}`)))
  await app.redstream.drained()
  reindexer = app.pipeline.reindexer(app.index)
}

async function indices(): Promise<string[]> {
  return Object.keys(await app.client.indices.get({ index: `${app.index}*` }))
}

async function behindAlias(): Promise<string[]> {
  return Object.keys(await app.client.indices.getAlias({ name: app.index }))
}

function targets(): Promise<string[]> {
  return app.space.redis().smembers(app.partition.keys.targets)
}

async function expectInSync(rows: number): Promise<void> {
  await app.redstream.drained()
  await app.client.indices.refresh({ index: app.index })
  expect((await app.client.count({ index: app.index })).count).toBe(rows)
}

test('the old index is deleted while it is kept: a rollback is refused, and all goes on', async () => {
  await applicationWith(5)
  const { from, to } = await reindexer.start(wishes, { hands: 1 }, never)
  await app.client.indices.delete({ index: from })
  await expect(reindexer.rollBack(never)).rejects.toMatchObject({
    code: 'INDEX',
    message: expect.stringContaining(from),
  })
  await app.dataSource.manager.save(app.city('new'))
  await expectInSync(6)
  const next = await reindexer.start(wishes, { hands: 1 }, never)
  expect(next).toMatchObject({ phase: 'keeping', from: to, documents: 6 })
})

test('the new index is deleted while the old one is kept: the rollback brings the old one back, with every change', async () => {
  await applicationWith(5)
  const { from, to } = await reindexer.start(wishes, { hands: 1 }, never)
  await app.client.indices.delete({ index: to })
  await app.dataSource.manager.save(app.city('new'))
  await app.redstream.drained()
  expect(await reindexer.rollBack(never)).toMatchObject({ phase: 'undone' })
  expect(await behindAlias()).toEqual([from])
  await app.dataSource.manager.save(app.city('newer'))
  await expectInSync(7)
})

test('the alias is moved back by hand: the index that is searched goes on to get every change', async () => {
  await applicationWith(5)
  const { from, to } = await reindexer.start({ keepOldMs: 0 }, { hands: 1 }, never)
  await app.client.indices.updateAliases({
    actions: [
      { remove: { index: to, alias: app.index } },
      { add: { index: from, alias: app.index, is_write_index: true } },
    ],
  })
  await reindexer.drive({ hands: 0 }, never)
  expect(await behindAlias()).toEqual([from])
  expect(await targets()).toContain(`${from}.write`)
  await app.dataSource.manager.save(app.city('new'))
  await expectInSync(6)
})

test('the old index is deleted while rows are copied: the new one takes its place', async () => {
  await applicationWith(50, { batchSize: 10 })
  const [before] = await indices()
  const reindexing = reindexer.start({ ...wishes, rate: 50 }, { hands: 1 }, never)
  await eventually(async () => expect((await reindexer.store.read())?.phase).toBe('copying'))
  await app.client.indices.delete({ index: before! })
  const state = await reindexing
  expect(state).toMatchObject({ phase: 'keeping', documents: 50 })
  expect(await behindAlias()).toEqual([state.to])
  await app.dataSource.manager.save(app.city('new'))
  await expectInSync(51)
})

test('the alias is moved elsewhere while rows are copied: the reindex is undone, and says so', async () => {
  await applicationWith(20, { batchSize: 10 })
  const [before] = await indices()
  const reindexing = reindexer.start({ ...wishes, rate: 20 }, { hands: 1 }, never)
  await eventually(async () => expect((await reindexer.store.read())?.phase).toBe('copying'))
  const other = `${app.index}-other`
  await app.client.indices.create({ index: other })
  await app.client.indices.updateAliases({
    actions: [{ remove: { index: before!, alias: app.index } }, { add: { index: other, alias: app.index } }],
  })
  expect(await reindexing).toMatchObject({ phase: 'undone', problem: expect.any(String) })
  expect(new Set(await indices())).toEqual(new Set([before, other]))
})

test('what somebody has set on the live index, and nobody declared, is set on the new one too', async () => {
  await applicationWith(3)
  const [before] = await indices()
  // On a single node its replicas would never be there, and the reindex would wait for them.
  const settings = { 'index.number_of_replicas': 0, 'index.refresh_interval': '7s' }
  await app.client.indices.putSettings({ index: before!, settings })
  const { to } = await reindexer.start(wishes, { hands: 1 }, never)
  const found = await app.client.indices.getSettings({ index: to, flat_settings: true })
  expect(found[to]?.settings).toMatchObject({
    'index.number_of_replicas': '0',
    'index.refresh_interval': '7s',
  })
})

test('stopped while it drops the old index of the reindex before, it begins no other one over it', async () => {
  await applicationWith(5)
  const first = await reindexer.start(wishes, { hands: 1 }, never)
  const stopping = new AbortController()
  const checkpoint = async (point: string): Promise<void> => {
    if (point === 'after retiring') stopping.abort()
  }
  const stopped = reindexer.start(wishes, { hands: 1, checkpoint }, stopping.signal)
  await expect(stopped).rejects.toMatchObject({ code: 'INDEX', message: expect.stringContaining('again') })
  expect(await reindexer.store.read()).toMatchObject({ id: first.id, phase: 'dropping' })
  const next = await reindexer.start(wishes, { hands: 1 }, never)
  expect(new Set(await indices())).toEqual(new Set([first.to, next.to]))
  expect((await targets()).filter((target) => !target.includes(':'))).toHaveLength(2)
})

test('a cancellation and a rollback that were cut off are finished by the same command', async () => {
  await applicationWith(5)
  const cutOff = AbortSignal.abort()
  const begun = await reindexer.start(wishes, { hands: 0 }, never, ({ phase }) => phase === 'copying')
  expect(await reindexer.cancel(cutOff)).toMatchObject({ id: begun.id, phase: 'removing' })
  await expect(reindexer.rollBack(never)).rejects.toThrow(/is being undone/)
  expect(await reindexer.cancel(never)).toMatchObject({ id: begun.id, phase: 'undone' })

  const { id, from } = await reindexer.start(wishes, { hands: 1 }, never)
  expect(await reindexer.rollBack(cutOff)).toMatchObject({ id, phase: 'swappingBack' })
  await expect(reindexer.cancel(never)).rejects.toThrow(/is being undone/)
  expect(await reindexer.rollBack(never)).toMatchObject({ id, phase: 'undone' })
  expect(await indices()).toEqual([from])
  await expect(reindexer.rollBack(never)).rejects.toThrow(/no older index/)
})

test('a reindex that was too slow goes on at once at the rate that it is given', async () => {
  await applicationWith(30, { batchSize: 10 })
  const stopping = new AbortController()
  // The second page has reserved ten minutes.
  const slow = reindexer.start({ ...wishes, rate: 1 / 60 }, { hands: 1 }, stopping.signal)
  await eventually(async () => expect((await reindexer.board.read())?.rows).toBe(10))
  stopping.abort()
  const { id } = await slow
  const faster = await reindexer.start({ ...wishes, rate: 1_000 }, { hands: 1 }, never)
  expect(faster).toMatchObject({ id, phase: 'keeping', documents: 30 } satisfies Partial<ReindexState>)
})
