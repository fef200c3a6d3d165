import { afterEach, beforeEach, expect, test } from 'vitest'

import { TcpProxy } from '../support/tcp-proxy.ts'
import { World } from './support/world.ts'

let world: World

beforeEach(async () => {
  world = await World.open({ capture: 'outbox', partitions: 2 })
})
afterEach(() => world?.dispose())

/** Rows in the outbox, as everybody sees them. */
async function waiting(): Promise<number> {
  const [row] = (await world.dataSource.query(
    `SELECT count(*)::int AS count FROM ${world.captureSchema}.outbox`,
  )) as [{ count: number }]
  return row.count
}

test('killed between publish and commit: the next one publishes the same again', async () => {
  const proxy = await TcpProxy.to(world.space.databaseUrl)
  const through = Object.assign(new URL(world.space.databaseUrl), { host: `127.0.0.1:${proxy.port}` }).href
  try {
    const victim = await world.start('relay', { DATABASE_URL: through })
    // It never hears that the rows are deleted, so it never commits that.
    proxy.dropReplies('DELETE')
    await world.saveCities(3, 'saved')
    await victim.until(async () => (await world.ids('main')).length === 3, 'has published nothing')
    expect(await waiting()).toBe(1)
    await victim.kill()
    proxy.cut()
    const survivor = await world.start('relay')
    await survivor.until(async () => (await waiting()) === 0, 'has left something')
    expect((await world.ids('main')).toSorted()).toEqual(['1', '1', '2', '2', '3', '3'])
  } finally {
    await proxy.close()
  }
})

test('killed again and again while it publishes: nothing is missing', async () => {
  for (let first = 1; first <= 3_000; first += 3) await world.saveCities(3, 'saved', first)
  let kills = 0
  for (let before = await waiting(); before > 0; kills++) {
    const relay = world.launch('relay')
    await relay.until(async () => (await waiting()) < before, 'has taken nothing')
    await relay.kill()
    before = await waiting()
  }
  expect(kills).toBeGreaterThan(1)
  expect(new Set(await world.ids('main')).size).toBe(3_000)
})

test('an application that dies at its commit leaves what is true: the rows and the word of them, or neither', async () => {
  await world.saveCities(1_500, 'old')
  const after = world.application('transaction, killed after the commit')
  await after.exit
  const before = world.application('save, killed after the commit')
  await before.exit
  await world.start('run')
  await world.caughtUp()
  expect(await world.expectInSync()).toBeGreaterThan(1_500)
})
