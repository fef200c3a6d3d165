import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { decodeMessages } from '../../src/streams/message.ts'
import { World } from './support/world.ts'

const all = Array.from({ length: 20_000 }, (_, i) => i + 1)

let world: World

beforeAll(async () => {
  // A Delayer moves the partitions one after the other, so there are several moments to die.
  world = await World.open({ partitions: 5 })
})
afterAll(() => world?.dispose())

beforeEach(async () => {
  for (const { keys } of world.partitions) await world.redis.xtrim(keys.main, 'MAXLEN', 0)
})

/** Writes 20,000 delay messages, in entries of ten as transactions would. */
async function delayAll(): Promise<void> {
  const { producer } = world.redstream
  const groups = Array.from({ length: all.length / 10 }, (_, i) => all.slice(10 * i, 10 * i + 10))
  await Promise.all(groups.map((ids) => producer.delay(world.City, ids)))
}

/** Checks that no message is missing or there twice; returns the number of delay entries that are left. */
async function left(): Promise<number> {
  // One atomic look, because the last script of a dead Delayer may still be under way.
  const look = world.redis.multi()
  for (const { keys } of world.partitions) look.xrange(keys.delay, '-', '+').xrange(keys.main, '-', '+')
  const replies = ((await look.exec()) ?? []).map(([, entries]) => entries as [string, string[]][])
  const ids = replies.flat().flatMap(([, fields]) => decodeMessages(fields).map(({ id }) => Number(id)))
  expect(ids.sort((a, b) => a - b)).toEqual(all)
  return replies.filter((_, i) => i % 2 === 0).flat().length
}

test('killed again and again while it moves: every message is moved exactly once', async () => {
  await delayAll()
  let kills = 0
  for (let before = await left(); before > 0; kills++) {
    const delayer = world.launch('delayer --delay 1ms')
    await delayer.until(async () => (await world.delayed()) < before, 'has moved nothing')
    await delayer.kill()
    before = await left()
  }
  expect(kills).toBeGreaterThan(1)
  expect(await world.ids('main')).toHaveLength(all.length)
})

test('two at once, one of them killed: every message is moved exactly once', async () => {
  const [victim, survivor] = await Promise.all([
    world.start('delayer --delay 20ms'),
    world.start('delayer --delay 20ms'),
  ])
  const written = delayAll()
  await victim.until(async () => (await world.ids('main')).length > 0, 'has moved nothing')
  await victim.kill()
  await written
  await survivor.until(async () => (await world.delayed()) === 0, 'has not moved the rest')
  expect(await left()).toBe(0)
})
