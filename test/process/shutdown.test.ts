import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'

import { readHeartbeats } from '../../src/streams/heartbeat.ts'
import type { Program } from './support/program.ts'
import { World } from './support/world.ts'

let world: World
let other: Program | undefined

beforeAll(async () => {
  world = await World.open()
})
afterAll(() => world?.dispose())
afterEach(() => other?.kill())

test('SIGTERM: a Consumer finishes its batches in flight, acknowledges them and leaves', async () => {
  const gate = world.gate()
  const consumer = await world.start('consumer', gate.env)
  await world.saveCities(20, 'first')
  await gate.reached()
  consumer.signal('SIGTERM')
  await consumer.logged('finishing the batches in flight')
  await gate.open()
  expect(await consumer.exit).toEqual({ code: 0, signal: undefined })
  expect(await world.group()).toEqual({ pending: 0, members: [] })
  expect(await world.expectInSync()).toBe(20)
})

test('a second SIGTERM ends it at once, and another Consumer takes over', async () => {
  const gate = world.gate()
  const consumer = await world.start('consumer', gate.env)
  await world.saveCities(20, 'second')
  await gate.reached()
  consumer.signal('SIGTERM')
  await consumer.logged('finishing the batches in flight')
  // One that comes at once counts as the same request, so it is sent until it is heard.
  await consumer.until(() => {
    consumer.signal('SIGTERM')
    return consumer.hasEnded
  }, 'goes on')
  expect(await consumer.exit).toEqual({ code: 1, signal: undefined })
  expect((await world.group()).pending).toBe(20)

  other = await world.start('consumer')
  await other.logged('took over')
  await world.caughtUp()
  expect(await world.expectInSync()).toBe(20)
})

test('SIGTERM to `run` with all workers, while an application writes', async () => {
  const application = world.application('steady load')
  const run = await world.start('run --delay 2s --trim-interval 10ms --batch-size 10')
  await application.until(() => application.output.length > 200, 'does not write')
  run.signal('SIGTERM')
  expect(await run.exit).toEqual({ code: 0, signal: undefined })
  expect(await world.group()).toEqual({ pending: 0, members: [] })
  const beats = await readHeartbeats(world.redis, world.space.namespace)
  expect(beats.map(({ pid }) => pid)).not.toContain(run.pid)

  application.signal('SIGTERM')
  expect(await application.exit).toEqual({ code: 0, signal: undefined })
  other = await world.start('run --delay 2s')
  await world.caughtUp()
  await world.expectInSync()
})
