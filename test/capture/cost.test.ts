import { Redis } from 'ioredis'
import { Like } from 'typeorm'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { startRedis, type ServerHandle } from '../../services/services.ts'
import type { PartitionKeys } from '../../src/streams/keys.ts'
import { captured, published, type Captured } from '../support/captured.ts'

/** What a write costs the application: commands that Redis gets, and what it waits for. */
describe('what a write costs', () => {
  let server: ServerHandle
  let redis: Redis
  let app: Captured

  beforeEach(async () => {
    server = await startRedis()
    redis = new Redis(server.url)
    app = await captured({ redis: server.url })
  })
  afterEach(async () => {
    await redis.client('UNPAUSE')
    await app.dispose()
    redis.disconnect()
    await server.stop()
  })

  const keys = (): PartitionKeys => app.partition.keys

  /** The commands of the application, without those that its scripts run. */
  async function commandsOf(write: () => Promise<unknown>): Promise<string[]> {
    return (await sentBy(write)).map(([name = '']) => name.toLowerCase())
  }

  /** The same with their arguments. */
  async function sentBy(write: () => Promise<unknown>): Promise<string[][]> {
    // The first call of a script sends its text.
    await app.dataSource.manager.save(app.city('first'))
    await published(app.redstream)
    const commands: string[][] = []
    const ended = 'end of the write'
    const monitor = await redis.monitor()
    try {
      const seen = new Promise<void>((resolve) => {
        monitor.on('monitor', (_, command: string[], source: string) => {
          if (command[1] === ended) resolve()
          else if (source !== 'lua') commands.push(command)
        })
      })
      await write()
      await app.redstream.inspect(app.partition.stream)
      await redis.echo(ended)
      await seen
    } finally {
      monitor.disconnect()
    }
    const writes = ['xadd', 'xdel', 'evalsha', 'eval']
    return commands.filter(([name = '']) => writes.includes(name.toLowerCase()))
  }

  test('a save: one command before the commit, one after it', async () => {
    const { manager } = app.dataSource
    expect(await commandsOf(() => manager.save(app.city('Rome')))).toEqual(['xadd', 'evalsha'])
  })

  test('a transaction of 1,000 saves: the first change, each 500 others, and the rest are one command each', async () => {
    // When it takes more than a second, it writes them once more, with its id.
    await app.dispose()
    app = await captured({ redis: server.url, delay: { ask: 'off' } })
    const write = (): Promise<unknown> =>
      app.dataSource.transaction(async (manager) => {
        for (let i = 0; i < 1_000; i++) await manager.save(app.city(`city ${i}`))
      })
    expect(await commandsOf(write)).toEqual(['xadd', 'xadd', 'xadd', 'evalsha'])
    expect(await redis.xlen(keys().main)).toBe(1_001)
    expect(await redis.xlen(keys().delay)).toBe(0)
  })

  test('a statement that changes many rows: their keys are sent once, 500 in a command', async () => {
    const { dataSource, City } = app
    await dataSource.query(`INSERT INTO cities (id, name) SELECT i, 'x' FROM generate_series(9001, 11300) i`)
    const write = (): Promise<unknown> =>
      dataSource.createQueryBuilder().update(City).set({ name: 'y' }).where('id > 9000').execute()
    await write()
    await published(app.redstream)
    const sent = await sentBy(write)
    expect(sent.map(([name]) => name)).toEqual([...Array<string>(5).fill('xadd'), 'evalsha'])
    expect(sent.filter((command) => command.includes('10000'))).toHaveLength(1)
    await expect.poll(() => redis.xlen(keys().bulk)).toBe(4_600)
    expect(await redis.xlen(keys().delay)).toBe(0)
  })

  test.each([
    ['save', (id: number) => app.dataSource.manager.save(app.City, { id, name: 'Roma' })],
    ['update(id)', (id: number) => app.dataSource.manager.update(app.City, id, { name: 'Roma' })],
    ['delete(id)', (id: number) => app.dataSource.manager.delete(app.City, id)],
  ])('%s of a row: its delay message travels while the statement runs', async (_, write) => {
    const { id } = await app.dataSource.manager.save(app.city('Rome'))
    const other = app.dataSource.createQueryRunner()
    await other.startTransaction()
    await other.query('SELECT 1 FROM cities FOR UPDATE')
    const writing = write(id)
    await expect.poll(() => redis.xlen(keys().delay)).toBe(1)
    await other.rollbackTransaction()
    await other.release()
    await writing
    await published(app.redstream)
    expect(await redis.xlen(keys().delay)).toBe(0)
  })

  /** Redis takes no more writes once the delay messages of the next commit are there. */
  function pauseAtCommit(): void {
    app.dataSource.subscribers.push({
      beforeTransactionCommit: async () => {
        await expect.poll(() => redis.xlen(keys().delay)).toBeGreaterThan(0)
        await redis.client('PAUSE', 60_000, 'WRITE')
      },
    })
  }

  test('a save does not wait for its publish; drained and close do', async () => {
    pauseAtCommit()
    const { id } = await app.dataSource.manager.save(app.city('Rome'))
    expect([await redis.xlen(keys().main), await redis.xlen(keys().delay)]).toEqual([0, 1])
    let isDrained = false
    const drained = app.redstream.drained().then(() => (isDrained = true))
    const closed = app.redstream.close()
    await redis.ping()
    expect(isDrained).toBe(false)
    await redis.client('UNPAUSE')
    await Promise.all([drained.catch(() => undefined), closed])
    const [[, fields] = []] = await redis.xrange(keys().main, '-', '+')
    expect(fields).toEqual(['id', String(id)])
    expect(await redis.xlen(keys().delay)).toBe(0)
  })

  const insertMany = (count: number): Promise<unknown> =>
    app.dataSource.query(
      `INSERT INTO cities (name) SELECT 'city ' || i FROM generate_series(1, $1::integer) AS i`,
      [count],
    )

  test('nor does an update of many rows', async () => {
    await insertMany(5_000)
    pauseAtCommit()
    await app.redstream.update(app.City, { name: Like('city %') }, { name: 'town' })
    expect([await redis.xlen(keys().main), await redis.xlen(keys().bulk)]).toEqual([0, 0])
    await redis.client('UNPAUSE')
    await published(app.redstream)
    expect([await redis.xlen(keys().main), await redis.xlen(keys().bulk)]).toEqual([1_000, 4_000])
    expect(await redis.xlen(keys().delay)).toBe(0)
  })

  test('but with very many rows under way, it does wait', async () => {
    const many = 201_000
    await insertMany(many)
    pauseAtCommit()
    let isDone = false
    const town = { name: 'town' }
    const updated = app.redstream.update(app.City, { name: Like('city %') }, town).then(() => (isDone = true))
    await expect.poll(() => app.dataSource.manager.countBy(app.City, town)).toBe(many)
    expect(isDone).toBe(false)
    await redis.client('UNPAUSE')
    await updated
    expect((await redis.xlen(keys().main)) + (await redis.xlen(keys().bulk))).toBe(many)
  })
})
