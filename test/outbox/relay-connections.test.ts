import { afterEach, expect, test } from 'vitest'

import { verifyIndex } from '../../src/verify/verify.ts'
import { outboxed, type Outboxed } from '../support/outboxed.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

let app: Outboxed
afterEach(() => app.dispose())

/** What triggers write about an inserted city. */
const insertedRows = (): Promise<unknown> =>
  app.dataSource.query(`INSERT INTO ${app.table.quoted} (kind, source, body) VALUES ('rows', $1, $2)`, [
    app.dataSource.getMetadata(app.City).tablePath,
    JSON.stringify({ op: 'insert', key: { id: ['7'] } }),
  ])

test.each([1, 2])('with a pool of %i it works, and stops', async (poolSize) => {
  app = await outboxed()
  const stop = app.startRelay(await app.open(undefined, {}, { poolSize }))
  const city = await app.dataSource.manager.save(app.city('Rome'))
  await insertedRows()
  await app.emptied()
  expect((await app.published('main')).map(({ id }) => id)).toEqual([String(city.id), '7'])
  await stop()
  const told = app.relayLog.filter(({ message }) => message.includes('has one connection'))
  expect(told).toHaveLength(poolSize === 1 ? 1 : 0)
})

test('rows in the hand of a relay whose network is gone are taken by another one', async () => {
  app = await outboxed()
  const proxy = await TcpProxy.to(app.space.databaseUrl)
  try {
    const url = Object.assign(new URL(app.space.databaseUrl), { host: `127.0.0.1:${proxy.port}` }).href
    const pipeline = await app.open(undefined, { stallAfter: '2s' }, { url })
    // It never hears that the rows are deleted, so its transaction stays open; then nothing is heard of it either.
    proxy.dropReplies('DELETE')
    const stop = app.startRelay(pipeline)
    await app.dataSource.manager.save(app.city('Rome'))
    await expect.poll(() => app.published('main')).toHaveLength(1)
    proxy.silence()
    app.startRelay()
    await app.emptied()
    // Its own end is a matter of its liveness; here the network tells.
    proxy.restore()
    proxy.cut()
    await stop()
  } finally {
    await proxy.close()
  }
})

test('verify waits for what is in the outbox, and calls it in flight while nobody relays', async () => {
  app = await outboxed()
  await app.pipeline.init()
  await app.dataSource.manager.save([app.city('Rome'), app.city('Oslo')])
  const index = `${app.space.indexPrefix}cities`
  const verify = (patienceMs: number) =>
    verifyIndex(app.pipeline.site(index), {
      scope: { kind: 'all' },
      repair: false,
      examples: 1,
      patienceMs,
      signal: new AbortController().signal,
    })
  expect(await verify(500)).toMatchObject({ rows: 2, missing: 0, inFlight: 2 })
  const verifying = verify(30_000)
  app.startRelay()
  const stopping = new AbortController()
  const runs = app.pipeline.workers(['consumer']).map((worker) => worker.run(stopping.signal))
  expect(await verifying).toMatchObject({ rows: 2, documents: 2, missing: 0, inFlight: 0 })
  stopping.abort()
  await Promise.all(runs)
})
