import { afterAll, expect, test } from 'vitest'

import { ReindexWorker } from '../../src/reindex/reindex-worker.ts'
import type { Phase } from '../../src/reindex/phases.ts'
import type { ReindexState } from '../../src/reindex/state.ts'
import { settingsFrom } from '../../src/runtime/settings.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import { Program } from '../process/support/program.ts'
import { World } from '../process/support/world.ts'
import { recordingLogger } from '../support/captured.ts'

/**
 * The process that drives a reindex is killed before and after what each phase does, while the application writes. The
 * next one goes on, and leaves one index that equals the table.
 */

const open: (() => Promise<void>)[] = []
afterAll(() => Promise.all(open.map((close) => close())))

const file = 'test/fixtures/reindex/reindex.ts'

class Reindexed {
  readonly world: World
  readonly #pipeline: Pipeline
  readonly #stop = new AbortController()
  readonly #runs: Promise<void>[]
  #writes = 0

  private constructor(world: World, pipeline: Pipeline) {
    this.world = world
    this.#pipeline = pipeline
    // Not those that go on with a reindex: here the next command shall.
    const consumers = pipeline.workers(['consumer']).filter((worker) => !(worker instanceof ReindexWorker))
    this.#runs = consumers.map((worker) => worker.run(this.#stop.signal))
  }

  static async open(): Promise<Reindexed> {
    const world = await World.open({ partitions: 2 })
    const { dataSource, space } = world
    const pipeline = await openPipeline(
      {
        dataSource,
        redis: space.redisUrl,
        elasticsearch: space.elasticsearchUrl,
        settings: settingsFrom({ namespace: space.namespace }),
      },
      recordingLogger([]),
    )
    const reindexed = new Reindexed(world, pipeline)
    open.push(() => reindexed.close())
    await world.saveCities(300, 'saved')
    return reindexed
  }

  run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
    return this.world.run(args.join(' '), file, args, env)
  }

  /** Changes, adds and removes cities. */
  async write(): Promise<void> {
    const { world } = this
    const { manager } = world.dataSource
    const round = ++this.#writes
    await manager.save(world.city(round, `changed ${round}`))
    await manager.save(world.city(1_000 + round, 'new'))
    const gone = await manager.findOneBy(world.City, { id: 300 - round })
    if (gone !== null) await manager.remove(gone)
  }

  /** The application writes; the documents are the rows; one index and its alias are left. */
  async expectGood(physical: string): Promise<void> {
    const { client, index } = this.world
    await this.write()
    await this.world.caughtUp()
    expect(Object.keys(await client.indices.get({ index: `${index}*` }))).toEqual([physical])
    expect(Object.keys(await client.indices.getAlias({ name: index }))).toEqual([physical])
    for (const { keys } of this.world.partitions)
      expect(await this.world.redis.smembers(keys.targets)).toEqual([`${physical}.write`])
    await this.world.expectInSync()
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#runs)
    await this.#pipeline.close()
    await this.world.dispose()
  }
}

async function resultOf(program: Program): Promise<ReindexState> {
  await program.until(() => program.output.length > 0, 'has not come to an end')
  return JSON.parse(program.output[0]!) as ReindexState
}

const ways: readonly (readonly Phase[])[] = [
  ['creating', 'registering', 'slicing', 'copying', 'restoring'],
  ['swapping', 'confirming', 'keeping', 'retiring', 'dropping'],
]

test.concurrent.each(ways)(
  'killed before and after %s, %s, %s, %s, %s: the next one goes on',
  async (...phases) => {
    const reindexed = await Reindexed.open()
    for (const point of phases.flatMap((phase) => [`before ${phase}`, `after ${phase}`])) {
      const program = reindexed.run(['reindex', point])
      await reindexed.write()
      expect(await program.exit).toMatchObject({ signal: 'SIGKILL' })
    }
    const state = await resultOf(reindexed.run(['reindex']))
    expect(state).toMatchObject({ phase: 'done', attempt: 1 })
    await reindexed.expectGood(state.to)
  },
)

test.concurrent('killed at each step of a rollback: the next one goes on', async () => {
  const reindexed = await Reindexed.open()
  const env = { TEST_KEEP_OLD: '3600000' }
  const { from } = await resultOf(reindexed.run(['reindex'], env))
  await reindexed.write()
  for (const point of ['before swappingBack', 'after swappingBack', 'before removing', 'after removing']) {
    const first = point === 'before swappingBack'
    const program = reindexed.run([first ? 'rollback' : 'wait', point])
    await reindexed.write()
    expect(await program.exit).toMatchObject({ signal: 'SIGKILL' })
  }
  const state = await resultOf(reindexed.run(['wait']))
  expect(state).toMatchObject({ phase: 'undone' })
  await reindexed.expectGood(from)
})
