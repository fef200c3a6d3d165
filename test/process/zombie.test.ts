import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'

import type { Program } from './support/program.ts'
import { type Gate, World } from './support/world.ts'

let world: World
let gate: Gate
let zombie: Program
let heir: Program

beforeAll(async () => {
  world = await World.open()
})
afterAll(() => world?.dispose())

// A Consumer with the row of a city in hand stands still, and another one takes its message over.
beforeEach(async () => {
  gate = world.gate()
  zombie = await world.start('consumer --concurrency 1', gate.env)
  await world.dataSource.manager.save(world.city(1, 'old', 1))
  await gate.reached()
  await zombie.freeze()
  heir = await world.start('consumer')
  await heir.logged('took over')
})
afterEach(async () => {
  await zombie?.kill()
  await heir?.kill()
})

/** Lets the first Consumer send what it read before, and waits until it has heard the answer, or was believed. */
async function comeBack(answer: string): Promise<void> {
  await gate.open()
  zombie.thaw()
  const heard = (): boolean => zombie.log.some(({ msg }) => msg.includes(answer))
  await zombie.until(
    async () => heard() || (await world.document(1))?.['name'] === 'old',
    'has not come back',
  )
  await world.caughtUp()
}

test('changed meanwhile: the document keeps the newer state', async () => {
  await world.dataSource.manager.save(world.city(1, 'new', 2))
  await world.caughtUp()
  await comeBack('a newer state was there already')
  expect(await world.document(1)).toEqual({ id: 1, name: 'new', population: 2 })
  expect(await world.expectInSync()).toBe(1)
})

test('deleted meanwhile: the document stays deleted', async () => {
  await world.dataSource.manager.remove(world.city(1, 'old'))
  await world.caughtUp()
  await comeBack('version conflicts; these rows are read again')
  expect(await world.document(1)).toBeUndefined()
  expect(await world.expectInSync()).toBe(0)
})

test('deleted and inserted again with the same key meanwhile: the document is that of the new row', async () => {
  await world.dataSource.manager.remove(world.city(1, 'old'))
  await world.caughtUp()
  await world.dataSource.manager.save(world.city(1, 'reborn', 3))
  await world.caughtUp()
  await comeBack('a newer state was there already')
  expect(await world.document(1)).toEqual({ id: 1, name: 'reborn', population: 3 })
  expect(await world.expectInSync()).toBe(1)
})
