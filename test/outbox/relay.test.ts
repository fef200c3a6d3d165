import type { EventEmitter } from 'node:events'

import { afterEach, expect, test } from 'vitest'

import { entriesFor } from '../../src/outbox/entry.ts'
import { fallAsleep, getUp } from '../../src/outbox/ring.ts'
import { outboxed, type Outboxed } from '../support/outboxed.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

let app: Outboxed
afterEach(() => app.dispose())

const idsOf = async (lane: 'main' | 'bulk'): Promise<number[]> =>
  (await app.published(lane)).map(({ id }) => Number(id)).toSorted((a, b) => a - b)

test('takes what is written to the streams, and removes it', async () => {
  app = await outboxed()
  app.startRelay()
  const cities = await app.dataSource.manager.save([app.city('Rome'), app.city('Oslo')])
  await app.emptied()
  expect(await idsOf('main')).toEqual(cities.map(({ id }) => id))
  const { outbox, workers } = await app.pipeline.status()
  expect(outbox).toEqual({ length: 0, oldestMs: 0, setAside: 0 })
  expect(workers).toMatchObject([{ kind: 'relay', pid: process.pid }])
})

test('is woken by the commit, and needs no look now and then', async () => {
  app = await outboxed()
  const pipeline = await app.open(undefined, { relayPoll: '1m' })
  app.startRelay(pipeline)
  // It looks once more when it is asleep.
  await sleeping()
  for (let i = 0; i < 5; i++) {
    await app.dataSource.manager.save(app.city(`c${i}`))
    await app.emptied()
  }
  expect(await idsOf('main')).toHaveLength(5)
})

test('is woken by those who write at the same time, and finds all', async () => {
  app = await outboxed()
  app.startRelay(await app.open(undefined, { relayPoll: '1m' }))
  await sleeping()
  const { manager } = app.dataSource
  await Promise.all(Array.from({ length: 8 }, (_, i) => manager.save(app.city(`c${i}`))))
  await app.emptied()
  expect(await idsOf('main')).toHaveLength(8)
})

test('is woken by the commit of a transaction that wrote into the outbox long before', async () => {
  app = await outboxed()
  app.startRelay(await app.open(undefined, { relayPoll: '1m' }))
  await sleeping()
  const other = await app.dataSource.manager.save(app.city('Rome'))
  await app.emptied()
  await app.dataSource.transaction(async (inside) => {
    await app.redstream.bulkDelay(app.City, {}, { manager: inside })
    // It does not keep others from waking the relay.
    await app.dataSource.manager.save(app.city('Oslo'))
    await expect.poll(() => idsOf('main')).toHaveLength(2)
  })
  await app.emptied()
  expect(await idsOf('bulk')).toEqual([other.id])
})

test('goes on when the connection on which it listens is lost, and listens again', async () => {
  app = await outboxed()
  app.startRelay()
  const pids = await sleeping()
  await app.dataSource.query('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid', [pids])
  await app.dataSource.manager.save(app.city('Rome'))
  await app.emptied()
  await expect.poll(sleepers).not.toEqual([])
  expect(await sleepers()).not.toEqual(pids)
})

test('several share the work, and nothing is missing', async () => {
  app = await outboxed()
  const others = await Promise.all([app.open(), app.open()])
  const { manager } = app.dataSource
  for (const pipeline of [app.pipeline, ...others]) app.startRelay(pipeline)
  const ids: number[] = []
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let i = 0; i < 50; i++) ids.push((await manager.save(app.city('c'))).id)
    }),
  )
  await app.emptied()
  expect(await idsOf('main')).toEqual(ids.toSorted((a, b) => a - b))
})

test('passes over rows that another one has in hand', async () => {
  app = await outboxed()
  const { dataSource } = app
  const [rome, oslo] = [app.city('Rome'), app.city('Oslo')]
  await dataSource.manager.save(rome)
  await dataSource.transaction(async (other) => {
    await other.query(`SELECT id FROM ${app.table.quoted} FOR UPDATE`)
    await dataSource.manager.save(oslo)
    const [relay] = app.pipeline.workers(['relay'])
    await (relay as unknown as { runOnce(): Promise<number> }).runOnce()
    expect(await idsOf('main')).toEqual([oslo.id])
  })
})

test('while Redis is away nothing is lost, no transaction stays open, and it goes on by itself', async () => {
  app = await outboxed()
  const proxy = await TcpProxy.to(app.space.redisUrl)
  try {
    const pipeline = await app.open(`redis://127.0.0.1:${proxy.port}`, { redisTimeout: '500ms' })
    app.startRelay(pipeline)
    await expect.poll(sleepers).not.toEqual([])
    await proxy.refuse()
    const cities = await app.dataSource.manager.save([app.city('Rome'), app.city('Oslo')])
    await expect.poll(() => app.relayLog.filter(({ level }) => level === 'error').length).toBeGreaterThan(2)
    const open = await app.dataSource.query(
      `SELECT query FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND query LIKE $1`,
      [`%${app.table.schema}%`],
    )
    expect(open).toEqual([])
    expect((await app.pipeline.status()).outbox).toMatchObject({ length: 1 })
    await proxy.accept()
    await app.emptied()
    expect(await idsOf('main')).toEqual(cities.map(({ id }) => id))
  } finally {
    await proxy.close()
  }
})

test('a row that cannot be read is set aside, and tried again by the next relay', async () => {
  app = await outboxed()
  const stream = `${app.space.indexPrefix}cities`
  const insert = (kind: string, source: string, body: string) =>
    app.dataSource.query(`INSERT INTO ${app.table.quoted} (kind, source, body) VALUES ($1, $2, $3)`, [
      kind,
      source,
      body,
    ])
  await insert('messages', stream, '[{"id":')
  await insert('messages', stream, '[{"no":"id"}]')
  await insert('messages', 'nobody', '[{"id":"1"}]')
  await insert('from tomorrow', stream, '[{"id":"1"}]')
  const stop = app.startRelay()
  const city = await app.dataSource.manager.save(app.city('Rome'))
  await expect.poll(() => idsOf('main')).toEqual([city.id])
  await expect
    .poll(async () => (await app.entries()).map(({ problem }) => problem))
    .toEqual([
      expect.stringMatching(/JSON/),
      expect.stringMatching(/expected string/),
      'there is no stream "nobody"',
      'this version does not know the kind "from tomorrow"',
    ])
  expect((await app.pipeline.status()).outbox).toEqual({ length: 0, oldestMs: 0, setAside: 4 })
  expect(app.relayLog.filter(({ level }) => level === 'error')).toHaveLength(4)
  await stop()
  await app.dataSource.query(
    `UPDATE ${app.table.quoted} SET kind = 'messages', body = '[{"id":"7"}]', source = $1`,
    [stream],
  )
  app.startRelay()
  await app.emptied()
  expect(await idsOf('main')).toEqual([city.id, 7, 7, 7, 7].toSorted((a, b) => a - b))
})

test('drained waits for the outbox, too', async () => {
  app = await outboxed()
  await app.dataSource.manager.save(app.city('Rome'))
  await expect(app.redstream.drained({ timeout: 0 })).rejects.toMatchObject({
    code: 'TIMEOUT',
    message: expect.stringContaining('the outbox'),
  })
  const consumer = await app.redstream.consume(
    `${app.space.indexPrefix}cities`,
    'cache',
    async () => undefined,
  )
  app.startRelay()
  await app.redstream.drained()
  await consumer.stop()
})

test('is needed by the mode, or because rows of a former mode are left', async () => {
  app = await outboxed()
  expect(await app.pipeline.kindsNeeded()).toContain('relay')
  await app.dataSource.manager.save(app.city('Rome'))
  const changed = await app.open(undefined, { capture: 'subscriber' })
  expect(await changed.kindsNeeded()).toContain('relay')
  await app.dataSource.query(`DELETE FROM ${app.table.quoted}`)
  expect(await changed.kindsNeeded()).toEqual(['consumer', 'delayer', 'trimmer'])
})

test('says that it has stopped', async () => {
  app = await outboxed()
  const stop = app.startRelay()
  const workers = async () => (await app.pipeline.status()).workers
  await expect.poll(workers).toHaveLength(1)
  await stop()
  expect(await workers()).toEqual([])
  expect(await sleepers()).toEqual([])
})

test('sleeps only when it has seen what was written by those who did not ring', async () => {
  app = await outboxed()
  const pipeline = await app.open(undefined, { relayPoll: '1m' })
  const writer = app.dataSource.createQueryRunner()
  try {
    await writer.startTransaction()
    // Nobody sleeps yet, so nobody is to be woken.
    await app.table.write(writer, entriesFor(`${app.space.indexPrefix}cities`, 'main', [{ id: '7' }]))
    app.startRelay(pipeline)
    await app.dataSource.manager.save(app.city('Oslo'))
    await app.emptied()
    expect(await sleepers()).toEqual([])
    await writer.commitTransaction()
    await sleeping()
    // It is about to look once more, and then only after a minute.
    await app.emptied()
    expect(await idsOf('main')).toContain(7)
  } finally {
    await writer.release()
  }
})

test('is not rung for as long as it does not sleep', async () => {
  app = await outboxed()
  const listener = app.dataSource.createQueryRunner()
  const rung: string[] = []
  const hear = ({ channel }: { channel: string }): void => void rung.push(channel)
  const connection = (await listener.connect()) as EventEmitter
  try {
    await listener.query(`LISTEN "${app.table.channel}"`)
    connection.on('notification', hear)
    await app.dataSource.manager.save(app.city('Rome'))
    await listener.query('SELECT 1')
    expect(rung).toEqual([])
    await listener.query(fallAsleep(app.table.channel))
    await app.dataSource.manager.save(app.city('Oslo'))
    await expect.poll(() => rung).toEqual([app.table.channel])
    await listener.query('UNLISTEN *')
    await listener.query(getUp(app.table.channel))
  } finally {
    connection.off('notification', hear)
    await listener.release()
  }
})

/** The backends of relays that sleep until somebody writes into the outbox of this test. */
async function sleepers(): Promise<number[]> {
  const rows = (await app.dataSource.query(
    `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted
       AND (classid::bigint << 32 | objid::bigint) = hashtextextended($1, 0)`,
    [app.table.channel],
  )) as { pid: number }[]
  return rows.map(({ pid }) => pid)
}

async function sleeping(): Promise<number[]> {
  await expect.poll(sleepers).not.toEqual([])
  return sleepers()
}
