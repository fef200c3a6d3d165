import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'

import { TcpProxy } from '../support/tcp-proxy.ts'
import type { Program } from './support/program.ts'
import { World } from './support/world.ts'

let world: World
let heir: Program | undefined

beforeAll(async () => {
  world = await World.open()
})
afterAll(() => world?.dispose())
// The next Consumer to be killed must get the messages.
afterEach(() => heir?.kill())

test('killed after it has read the rows and before its bulk request', async () => {
  const gate = world.gate()
  const consumer = await world.start('consumer', gate.env)
  await world.saveCities(20, 'saved')
  await gate.reached()
  await consumer.kill()
  expect((await world.group()).pending).toBe(20)
  expect(await world.document(1)).toBeUndefined()

  heir = await world.start('consumer')
  expect(await heir.logged('took over')).toMatchObject({ entries: 20 })
  await world.caughtUp()
  expect(await world.expectInSync()).toBe(20)
})

test('killed after its bulk request and before the acknowledgement', async () => {
  const proxy = await TcpProxy.to(world.space.elasticsearchUrl)
  const consumer = await world.start('consumer', { ELASTICSEARCH_URL: `http://127.0.0.1:${proxy.port}` })
  proxy.dropReplies()
  await world.saveCities(20, 'changed')
  await consumer.until(async () => (await world.document(20))?.['name'] === 'changed', 'has indexed nothing')
  await consumer.kill()
  await proxy.close()
  expect((await world.group()).pending).toBe(20)
  // Newer than what the dead Consumer has written.
  await world.saveCities(10, 'changed again')

  heir = await world.start('consumer')
  expect(await heir.logged('took over')).toMatchObject({ entries: 20 })
  await world.caughtUp()
  expect(await world.expectInSync()).toBe(20)
})
