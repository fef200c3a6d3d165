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

/** Starts a consumer anew whenever it has ended, until one says that the row is a dead letter. */
async function untilBuried(started: Program): Promise<{ consumer: Program; deaths: number }> {
  for (let consumer = started, deaths = 0; ; consumer = world.launch('consumer'), deaths++) {
    const known = consumer.log.length
    const said = (): boolean => consumer.log.slice(known).some(({ msg }) => /row cannot be indexed/.test(msg))
    const ended = consumer.exit.then(() => 'ended')
    const buried = consumer.until(said, 'has buried nothing').then(() => 'buried')
    if ((await Promise.race([ended, buried.catch(() => ended)])) === 'buried' || deaths === 20)
      return { consumer, deaths }
  }
}

// Twelve processes are started one after the other.
test('a row that ends every process that indexes it: it becomes a dead letter in the end, and no other row does', async () => {
  await world.saveCities(19, 'harmless')
  await world.dataSource.manager.save(world.city(20, lethal))
  await world.saveCities(20, 'harmless', 21)

  const first = await untilBuried(world.launch('consumer'))
  // Twice with all its neighbours, twice with ever fewer, three times alone.
  expect(first.deaths).toBe(7)
  await world.caughtUp()
  expect(await letters()).toEqual([
    expect.objectContaining({
      id: '20',
      type: 'consumer_killed',
      attempts: 3,
      reason: expect.stringMatching(/process ended/),
    }),
  ])
  expect(first.consumer.hasEnded).toBe(false)

  // Changed and not mended: four times as if it were any row, and once alone.
  await world.dataSource.manager.save(Object.assign(world.city(20, lethal), { population: 1 }))
  const second = await untilBuried(first.consumer)
  expect(second.deaths).toBe(5)
  await world.caughtUp()
  expect(await letters()).toEqual([expect.objectContaining({ id: '20', attempts: 4 })])

  await world.dataSource.manager.save(world.city(20, 'mended'))
  await world.caughtUp()
  expect(await world.expectInSync()).toBe(40)
  expect(await letters()).toEqual([])
}, 180_000)
