import { afterAll, beforeAll, expect, test } from 'vitest'

import { TcpProxy } from '../support/tcp-proxy.ts'
import { World } from './support/world.ts'

let world: World
let proxy: TcpProxy

beforeAll(async () => {
  world = await World.open()
  proxy = await TcpProxy.to(world.space.elasticsearchUrl)
})
afterAll(async () => {
  await world?.dispose()
  await proxy?.close()
})

test('SIGTERM to a Consumer that cannot finish: what it held is free at once, not after takeOverAfter', async () => {
  const holder = await world.start('consumer', { ELASTICSEARCH_URL: `http://127.0.0.1:${proxy.port}` })
  await proxy.refuse()
  await world.saveCities(20, 'held')
  await holder.logged('Elasticsearch did not take these documents now')
  holder.signal('SIGTERM')
  expect(await holder.exit).toEqual({ code: 0, signal: undefined })
  expect((await world.group()).pending).toBe(20)

  // By its heartbeat it would have to wait for an hour.
  const heir = await world.start('consumer --take-over-after 1h')
  expect(await heir.logged('took over')).toMatchObject({ entries: 20 })
  await world.caughtUp()
  expect(await world.expectInSync()).toBe(20)
})
