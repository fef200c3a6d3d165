import { afterAll, beforeAll, expect, test } from 'vitest'

import { lethal } from '../fixtures/process/city.ts'
import { deadLetters, type DeadLetter } from '../../src/streams/dead-letters.ts'
import type { Program } from './support/program.ts'
import { World } from './support/world.ts'

let world: World

beforeAll(async () => {
  world = await World.open()
})
afterAll(() => world?.dispose())

async function letters(): Promise<DeadLetter[]> {
  const all: DeadLetter[] = []
  for await (const letter of deadLetters(world.redis, world.partitions[0]!, {})) all.push(letter)
  return all
}

test('a row that ends every process that indexes it: it becomes a dead letter in the end, and no other row does', async () => {
  await world.saveCities(19, 'harmless')
  await world.dataSource.manager.save(world.city(20, lethal))
  await world.saveCities(20, 'harmless', 21)

  let consumer: Program
  let deaths = 0
  do {
    consumer = world.launch('consumer')
    const ended = consumer.exit.then(() => 'ended')
    const drained = consumer.logged('this row cannot be indexed').then(() => 'buried')
    if ((await Promise.race([ended, drained.catch(() => ended)])) === 'buried') break
    deaths++
  } while (deaths < 20)

  // Twice with all its neighbours, twice with ever fewer, three times alone.
  expect(deaths).toBe(7)
  await world.caughtUp()
  expect(await letters()).toEqual([
    expect.objectContaining({
      id: '20',
      type: 'consumer_killed',
      attempts: 3,
      reason: expect.stringMatching(/process ended/),
    }),
  ])
  expect(consumer.hasEnded).toBe(false)

  await world.dataSource.manager.save(world.city(20, 'mended'))
  await world.caughtUp()
  expect(await world.expectInSync()).toBe(40)
  expect(await letters()).toEqual([])
})
