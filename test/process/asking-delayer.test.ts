import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'

import { startPostgres, type ServerHandle } from '../../services/services.ts'
import { goAheadKey } from '../fixtures/process/gate.ts'
import type { Program } from './support/program.ts'
import { World } from './support/world.ts'

let postgres: ServerHandle
let world: World
let delayer: Program

async function begin(delay: string): Promise<void> {
  await world.start('consumer')
  await world.saveCities(1_500, 'first')
  await world.caughtUp()
  delayer = await world.start(`delayer --delay ${delay}`)
}

// Other tests have transactions open on the common server, and an entry may belong to any.
beforeAll(async () => {
  postgres = await startPostgres()
  process.env['DATABASE_URL'] = postgres.url
})
afterAll(() => postgres?.stop())

beforeEach(async () => {
  world = await World.open()
})
afterEach(() => world?.dispose())

// The delay is longer than any test waits.
test.for([
  { scenario: 'save, killed after the commit', name: 'saved', committed: 1 },
  { scenario: 'transaction, killed after the commit', name: 'transaction', committed: 1_400 },
])('$scenario: healed without waiting for the delay', async ({ scenario, name, committed }) => {
  await begin('5m')
  const published = await world.ids('main')
  const application = world.application(scenario)
  expect(await application.exit).toMatchObject({ signal: 'SIGKILL' })
  expect(await world.dataSource.manager.countBy(world.City, { name })).toBe(committed)
  await world.caughtUp()
  expect(await world.ids('main')).not.toEqual(published)
  await world.expectInSync()
})

test('killed before the commit: the entries go, and nothing changes', async () => {
  await begin('5m')
  const application = world.application('transaction, killed before the commit')
  expect(await application.exit).toMatchObject({ signal: 'SIGKILL' })
  await world.caughtUp()
  await world.expectInSync()
  expect(await world.document(1)).toMatchObject({ name: 'first' })
})

test('killed before the commit of many rows: what names its transaction is deleted unread', async () => {
  await begin('5m')
  const published = await world.ids('bulk')
  const application = world.application('update of many rows, killed before the commit')
  expect(await application.exit).toMatchObject({ signal: 'SIGKILL' })
  await delayer.logged('deleted delay messages of transactions that were aborted')
  await world.caughtUp()
  expect(await world.ids('bulk')).toEqual(published)
  await world.expectInSync()
})

test('a transaction that is open for longer than the delay, whose application dies after the commit', async () => {
  await begin('500ms')
  const application = world.application('transaction that waits, killed after the commit')
  await application.until(() => application.output.includes('written'), 'has not written')
  // What does not say which transaction it is goes by its age, and finds the rows as they were.
  await world.caughtUp()
  expect(await world.document(1)).toMatchObject({ name: 'first' })

  await world.redis.xadd(goAheadKey(world.space.namespace), '*', 'go', 'ahead')
  expect(await application.exit).toMatchObject({ signal: 'SIGKILL' })
  expect(await world.dataSource.manager.countBy(world.City, { name: 'patient' })).toBe(2)
  await world.caughtUp()
  await world.expectInSync()
  expect(await world.document(1)).toMatchObject({ name: 'patient' })
})

test('somebody else has a transaction open all the time: healed at the latest after the delay', async () => {
  await begin('3s')
  const other = world.dataSource.createQueryRunner()
  await other.startTransaction()
  await other.query('SELECT 1')
  const application = world.application('save, killed after the commit')
  expect(await application.exit).toMatchObject({ signal: 'SIGKILL' })
  await world.caughtUp()
  await world.expectInSync()
  await other.rollbackTransaction()
  await other.release()
})

test('what carries ids of another cluster goes by its age', async () => {
  await begin('2s')
  const { delay } = world.partitions[0]!.keys
  await world.dataSource.query(`UPDATE "${world.space.schema}".cities SET name = 'raw' WHERE id = 7`)
  await world.redis.xadd(delay, '*', 'transaction', 'another:1', 'id', '7')
  await world.caughtUp()
  await world.expectInSync()
  expect(delayer.log.filter(({ level }) => level === 'error')).toEqual([])
})
