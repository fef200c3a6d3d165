import { afterAll, beforeAll, expect, test } from 'vitest'

import { createGroup } from '../../src/streams/group-member.ts'
import { parseRead, type Entry } from '../../src/streams/replies.ts'
import { World } from './support/world.ts'

const all = Array.from({ length: 20_000 }, (_, i) => String(i + 1))

let world: World
let main: string

beforeAll(async () => {
  world = await World.open()
  main = world.partitions[0]!.keys.main
})
afterAll(() => world?.dispose())

async function read(group: string, count: number): Promise<Entry[]> {
  const reply = await world.redis.xreadgroup('GROUP', group, 'test', 'COUNT', count, 'STREAMS', main, '>')
  return parseRead(reply).get(main) ?? []
}

async function acknowledge(group: string, entries: readonly Entry[]): Promise<void> {
  if (entries.length > 0) await world.redis.xack(main, group, ...entries.map(({ id }) => id))
}

test('killed again and again while it trims: nothing goes that the slowest group needs, and another one finishes', async () => {
  await createGroup(world.redis, world.partitions[0]!, 'slow')
  await world.redstream.producer.queue(world.City, all.map(Number))
  const published = await world.ids('main')
  await acknowledge('index', await read('index', all.length))

  const seen: string[] = []
  let held: Entry[] = []
  // Is done with the 100 messages that it holds, which must still be there, and reads 100 more.
  const step = async (): Promise<void> => {
    const [first, last] = [held[0]?.id ?? '-', held.at(-1)?.id ?? '-']
    expect(await world.redis.xrange(main, first, last)).toHaveLength(held.length)
    const entries = await read('slow', 100)
    seen.push(...entries.map(({ fields }) => fields[1]!))
    await acknowledge('slow', held)
    held = entries
  }

  for (const stepsUntilKill of [1, 23, 7]) {
    await step()
    await step()
    const length = await world.redis.xlen(main)
    const trimmer = world.launch('trimmer --trim-interval 10ms')
    await trimmer.until(async () => (await world.redis.xlen(main)) < length, 'has trimmed nothing')
    for (let i = 0; i < stepsUntilKill; i++) await step()
    await trimmer.kill()
  }
  while (seen.length < all.length) await step()
  expect(seen).toEqual(published)
  await step()

  const trimmer = world.launch('trimmer --trim-interval 10ms')
  await trimmer.until(
    async () => (await world.redis.xlen(main)) === 0,
    'has left messages that every group has done',
  )
})
