import { afterEach, beforeEach, expect, test } from 'vitest'

import { Redstream } from '../../src/redstream.ts'
import { captured, recordingLogger, type Captured } from '../support/captured.ts'

let app: Captured

beforeEach(async () => {
  app = await captured({ redisTimeout: '1s' })
})
afterEach(() => app.dispose())

test('of two calls at the same time, one attaches', async () => {
  await app.redstream.close()
  const { redisUrl: redis, namespace } = app.space
  const attach = (): Promise<Redstream> =>
    Redstream.attach(app.dataSource, { redis, namespace, logger: recordingLogger([]) })
  const [first, second] = await Promise.allSettled([attach(), attach()])
  expect(first.status).toBe('fulfilled')
  expect(second).toMatchObject({ status: 'rejected', reason: { code: 'CONFIG' } })
  if (first.status === 'fulfilled') await first.value.close()
  await (await attach()).close()
})

test('close waits for a transaction that is open, and publishes it', async () => {
  let closed: Promise<void> | undefined
  const ids = await app.dataSource.transaction(async (manager) => {
    const before = await manager.save(app.city('before'))
    closed = app.redstream.close()
    const after = await manager.save(app.city('after'))
    return [before.id, after.id].map(String)
  })
  await closed
  expect(await app.ids('main')).toEqual(ids)
  expect(await app.ids('delay')).toEqual([])
})

test('close does not wait for ever, and says what it left open', async () => {
  await app.dataSource.transaction(async (manager) => {
    await manager.save(app.city('Rome'))
    await app.redstream.close()
  })
  expect(app.log).toContainEqual(
    expect.objectContaining({
      level: 'warn',
      message: expect.stringContaining('closed while transactions were open'),
      facts: { transactions: 1 },
    }),
  )
  // What was noted before it stays for the Delayer.
  expect(await app.ids('delay')).toHaveLength(1)
})

test('a transaction whose connection was lost does not hold close up', async () => {
  const failed = app.dataSource.transaction(async (manager) => {
    const [{ pid }] = await manager.query<[{ pid: number }]>('SELECT pg_backend_pid() AS pid')
    await app.dataSource.query('SELECT pg_terminate_backend($1)', [pid])
    await manager.query('SELECT 1')
  })
  await expect(failed).rejects.toThrow()
  await app.redstream.close()
  expect(app.log.filter(({ message }) => message.includes('closed while'))).toEqual([])
})
