import { Column, Entity, PrimaryColumn } from 'typeorm'
import { expect, onTestFinished, test } from 'vitest'

import { Indexed } from '../../src/indexed.ts'
import { settingsFrom } from '../../src/runtime/settings.ts'
import { openPipeline } from '../../src/sync/pipeline.ts'
import { recordingLogger } from '../support/captured.ts'
import { pipelined } from '../support/pipelined.ts'
import { indexNamed, startShapes } from '../support/shapes.ts'

const wishes = { keepOldMs: 3_600_000 }
const never = new AbortController().signal

@Indexed<Tick>({ index: indexNamed('ticks') })
@Entity()
class Tick {
  @PrimaryColumn({ type: 'timestamp', precision: 6 })
  at!: Date

  @Column({ type: 'text' })
  name!: string
}

test('keys that cannot be read in their order: the reindex is undone, and says why', async () => {
  const app = await startShapes([Tick])
  onTestFinished(() => app.dispose())
  // JavaScript's dates end with milliseconds, so the row after the first page is that of the first page again.
  await app.dataSource.query(
    `INSERT INTO tick SELECT timestamp '2026-11-22 10:00:00.000001' + n * interval '1 microsecond', 'tick'
      FROM generate_series(1, 20) n`,
  )
  const { namespace, redisUrl: redis, elasticsearchUrl: elasticsearch } = app.space
  const settings = settingsFrom({ namespace, batchSize: 5 })
  const { dataSource } = app
  const pipeline = await openPipeline({ dataSource, redis, elasticsearch, settings }, recordingLogger([]))
  onTestFinished(() => pipeline.close())
  const state = await pipeline.reindexer(`${app.space.indexPrefix}ticks`).start(wishes, { hands: 1 }, never)
  expect(state).toMatchObject({
    phase: 'undone',
    problem: expect.stringContaining('order of its primary key'),
  })
})

test('a driver that was paused while it counted does not cut the table again that another one copies', async () => {
  const app = await pipelined()
  onTestFinished(() => app.dispose())
  await app.dataSource.manager.save(app.city('Rome'))
  const reindexer = app.pipeline.reindexer(app.index)
  const { store } = reindexer
  const createQueryRunner = app.dataSource.createQueryRunner.bind(app.dataSource)
  let isPaused = false
  app.dataSource.createQueryRunner = (mode) => {
    const runner = createQueryRunner(mode)
    const release = runner.release.bind(runner)
    runner.release = async () => {
      await release()
      const state = await store.read()
      if (state?.phase === 'slicing' && !isPaused) {
        isPaused = true
        await store.publishSlices(state, [{ number: 0 }])
        await store.replace(state, { ...state, phase: 'copying', slices: 1 })
        await store.copied(state.id, 0, { after: undefined, last: '1', rows: 1, bytes: 10 })
      }
    }
    return runner
  }
  const { id } = await reindexer.start(wishes, { hands: 0 }, never, ({ phase }) => phase === 'copying')
  expect(isPaused).toBe(true)
  expect(await store.progress(id)).toMatchObject({ rows: 1, open: [{ slice: 0, cursor: '1' }] })
})
