import { afterAll, beforeAll, expect, test } from 'vitest'

import type { Program } from './support/program.ts'
import { World } from './support/world.ts'

let world: World
let delayer: Program

beforeAll(async () => {
  world = await World.open()
  await world.start('consumer')
  // Its delay is shorter than a transaction, so it stands still while an application writes.
  delayer = await world.start('delayer --delay 100ms')
  await world.saveCities(1_500, 'first')
  await world.caughtUp()
})
afterAll(() => world?.dispose())

test.for([
  { scenario: 'save, killed after the commit', name: 'saved', committed: 1 },
  // Its delay messages are a false alarm: nothing of the transaction may reach the index.
  { scenario: 'transaction, killed before the commit', name: 'transaction', committed: 0 },
  { scenario: 'bulk, killed after its callback', name: 'bulk', committed: 1_500 },
  { scenario: 'transaction, killed after the commit', name: 'transaction', committed: 1_400 },
])('$scenario', async ({ scenario, name, committed }) => {
  await delayer.freeze()
  const published = { main: await world.ids('main'), bulk: await world.ids('bulk') }
  const application = world.application(scenario)
  expect(await application.exit).toMatchObject({ signal: 'SIGKILL' })
  expect(await world.dataSource.manager.countBy(world.City, { name })).toBe(committed)
  // It died before it published anything; the delay messages are all that is left.
  expect({ main: await world.ids('main'), bulk: await world.ids('bulk') }).toEqual(published)
  expect(await world.ids('delay')).not.toEqual([])

  delayer.thaw()
  await world.caughtUp()
  await world.expectInSync()
})

test('a process that ends as soon as its save resolves has sent the publish', async () => {
  await delayer.freeze()
  const before = await world.ids('main')
  const application = world.application('save, ended after it')
  expect(await application.exit).toMatchObject({ code: 0 })
  await expect.poll(() => world.ids('main')).toEqual([...before, '1'])
  await expect.poll(() => world.ids('delay')).toEqual([])
  delayer.thaw()
  await world.expectInSync()
})
