import { afterAll, beforeAll, expect, test } from 'vitest'

import type { ReindexProgress } from '../../src/reindex/progress.ts'
import type { ReindexResult } from '../../src/reindex/result.ts'
import { reindexKeys } from '../../src/streams/keys.ts'
import { waitUntil, type Program } from '../process/support/program.ts'
import { World } from '../process/support/world.ts'

const rows = 2_000

let world: World

beforeAll(async () => {
  world = await World.open()
  await world.saveCities(rows, 'saved')
})
afterAll(() => world?.dispose())

async function ended(program: Program): Promise<number | undefined> {
  return (await program.exit).code
}

/** The lines of JSON on stdout. */
function documents<T>({ output }: Program): T[] {
  return output.map((line) => JSON.parse(line) as T)
}

test('a name that is not there is wrong usage; nothing to wait for, to follow, or to go back to, is a failure', async () => {
  expect(await ended(world.launch('reindex nothing'))).toBe(2)
  expect(await ended(world.launch(`reindex ${world.index} --wait --cancel`))).toBe(2)
  expect(await ended(world.launch(`reindex ${world.index} --wait`))).toBe(1)
  expect(await ended(world.launch(`rollback ${world.index}`))).toBe(1)
  expect(await ended(world.launch(`progress ${world.index} --follow`))).toBe(1)
})

test('stopped with SIGTERM it saves where it is; run again it goes on, and a rollback goes back', async () => {
  const command = `reindex ${world.index} --json --workers 1 --batch-size 100`
  const stopped = world.launch(`${command} --rate 500`)
  await stopped.until(() => stopped.log.some((line) => Number(line['rows']) > 0), 'has copied nothing')
  stopped.signal('SIGTERM')
  expect(await ended(stopped)).toBe(1)
  expect(stopped.output).toEqual([])

  const again = world.launch(command)
  expect(await ended(again)).toBe(0)
  const [result] = documents<ReindexResult>(again)
  expect(result).toEqual({
    name: world.index,
    from: expect.stringMatching(world.index),
    to: expect.stringMatching(world.index),
    documents: rows,
    seconds: expect.any(Number),
  })
  const shown = again.log.filter((line) => 'slices' in line) as unknown as ReindexProgress[]
  expect(shown.at(0)?.startedAt).toBe(
    (stopped.log.find((line) => 'slices' in line) as unknown as ReindexProgress).startedAt,
  )

  const back = world.launch(`rollback ${world.index} --json`)
  expect(await ended(back)).toBe(0)
  expect(documents(back)).toEqual([{ name: world.index, from: result?.to, to: result?.from }])
  expect(Object.keys(await world.client.indices.getAlias({ name: world.index }))).toEqual([result?.from])
})

test('left to the workers, followed and waited for from other processes', async () => {
  const begun = world.launch(`reindex ${world.index} --detach --rate 1000 --batch-size 100`)
  expect(await ended(begun)).toBe(0)
  const following = world.launch(`progress ${world.index} --follow --json`)
  const waiting = world.launch(`reindex ${world.index} --wait --json --workers 0`)
  const once = world.launch('progress')
  expect(await ended(once)).toBe(0)
  expect(once.output).toHaveLength(1)
  const worker = await world.start('consumer')
  expect(await ended(following)).toBe(0)
  expect(await ended(waiting)).toBe(0)
  const followed = documents<ReindexProgress>(following)
  expect(followed.at(-1)).toMatchObject({ phase: 'keeping', rows, total: rows, problem: null })
  expect(followed.some(({ phase }) => phase === 'copying')).toBe(true)
  expect(documents<ReindexResult>(waiting)).toMatchObject([{ documents: rows, to: followed.at(-1)?.to }])
  worker.signal('SIGTERM')
  await waitUntil(
    () => worker.hasEnded,
    () => 'the worker does not end',
  )
})

test('a rollback that is stopped prints no result, and goes on when it is run again', async () => {
  const keys = reindexKeys(world.partitions[0]!)
  // A driver that is paused: it has its right, and does nothing.
  const driver = { member: 'paused', host: 'elsewhere', pid: 1, since: 0 }
  await world.redis.set(keys.driver, JSON.stringify(driver))
  const stopped = world.launch(`rollback ${world.index} --json`)
  await waitUntil(
    async () => (await world.redis.hget(keys.state, 'phase')) === 'swappingBack',
    () => 'the rollback does not begin',
  )
  stopped.signal('SIGTERM')
  expect(await ended(stopped)).toBe(1)
  expect(stopped.output).toEqual([])
  await world.redis.del(keys.driver)
  expect(await ended(world.launch(`reindex ${world.index} --cancel`))).toBe(1)
  const again = world.launch(`rollback ${world.index} --json`)
  expect(await ended(again)).toBe(0)
  expect(documents(again)).toHaveLength(1)
})
