import { DataSource, type QueryRunner } from 'typeorm'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'

import { startPostgres, type ServerHandle } from '../../services/services.ts'
import { TransactionIds } from '../../src/capture/transaction-id.ts'
import { partsOfTransaction, transactionText, type TransactionText } from '../../src/streams/transaction.ts'
import { PostgresTransactionStates } from '../../src/sync/transaction-states.ts'
import { recordingLogger, type LogLine } from '../support/captured.ts'

let server: ServerHandle
let dataSource: DataSource
let ids: TransactionIds
const log: LogLine[] = []
const settings = {
  max_prepared_transactions: '5',
  // It never comes; whoever wants to wait for it says so.
  synchronous_standby_names: 'away',
  synchronous_commit: 'local',
}

// One of our own, because prepared transactions and synchronous standbys are switched off as a rule.
beforeAll(async () => {
  server = await startPostgres({ fsync: true, settings })
  dataSource = await connect(server.url)
  await dataSource.query('CREATE TABLE rows (id integer)')
  ids = (await TransactionIds.of(dataSource, recordingLogger(log)))!
})
afterAll(async () => {
  await dataSource?.destroy()
  await server?.stop()
})

function connect(url: string): Promise<DataSource> {
  return new DataSource({ type: 'postgres', url }).initialize()
}

async function stateOf(transaction: TransactionText, from = dataSource): Promise<string | undefined> {
  const states = await PostgresTransactionStates.of(from, recordingLogger(log))!.of([transaction])
  return states.get(transaction)
}

/** A transaction that has written something, on a connection of its own. */
async function begun(): Promise<{ queryRunner: QueryRunner; transaction: TransactionText }> {
  const queryRunner = dataSource.createQueryRunner()
  onTestFinished(() => (queryRunner.isReleased ? undefined : queryRunner.release()))
  await queryRunner.startTransaction()
  await queryRunner.query('INSERT INTO rows VALUES (1)')
  return { queryRunner, transaction: (await ids.open(queryRunner))! }
}

test('committed, aborted, and in progress, though no later transaction has ended', async () => {
  const first = await begun()
  const second = await begun()
  // The newest id of all: no snapshot ends above it.
  expect(await stateOf(second.transaction)).toBe('in progress')
  await first.queryRunner.commitTransaction()
  expect(await stateOf(first.transaction)).toBe('committed')
  expect(await stateOf(second.transaction)).toBe('in progress')
  await second.queryRunner.rollbackTransaction()
  expect(await stateOf(second.transaction)).toBe('aborted')
})

test('open transactions are those that have begun and not ended, with an id or without', async () => {
  const open = async (): Promise<ReadonlySet<string>> =>
    (await PostgresTransactionStates.of(dataSource, recordingLogger(log))!.open())!.names
  expect(await open()).toEqual(new Set())
  const reader = dataSource.createQueryRunner()
  await reader.startTransaction()
  const [first] = await open()
  expect(first).toBeDefined()
  const writer = await begun()
  expect((await open()).size).toBe(2)
  await reader.commitTransaction()
  const left = await open()
  expect(left.size).toBe(1)
  expect(left).not.toContain(first)
  await reader.startTransaction()
  expect(await open()).not.toContain(first)
  await reader.rollbackTransaction()
  await writer.queryRunner.commitTransaction()
  expect(await open()).toEqual(new Set())
  await reader.release()
  const { cluster } = partsOfTransaction(ids.some)
  expect(await PostgresTransactionStates.of(dataSource, recordingLogger(log))!.open()).toMatchObject({
    cluster,
  })
})

test('one whose COMMIT waits for a synchronous standby is open: nobody else sees its rows yet', async () => {
  const { queryRunner, transaction } = await begun()
  await queryRunner.query('SET LOCAL synchronous_commit = on')
  const commit = queryRunner.commitTransaction()
  const of = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
  const waiting = `SELECT count(*)::integer AS count ${of}`
  await expect.poll(() => dataSource.query(waiting)).toEqual([{ count: 1 }])
  const states = PostgresTransactionStates.of(dataSource, recordingLogger(log))!
  expect((await states.open())?.names.size).toBe(1)
  expect(await stateOf(transaction)).toBe('in progress')
  // The same below the end of the snapshot.
  await dataSource.query('INSERT INTO rows VALUES (1)')
  expect(await stateOf(transaction)).toBe('in progress')
  await dataSource.query(`SELECT pg_cancel_backend(pid) ${of}`)
  await commit
  expect(await stateOf(transaction)).toBe('committed')
})

test('a transaction of another database is not ours', async () => {
  await dataSource.query('CREATE DATABASE other')
  const other = await connect(Object.assign(new URL(server.url), { pathname: '/other' }).href)
  onTestFinished(() => other.destroy())
  const queryRunner = other.createQueryRunner()
  await queryRunner.startTransaction()
  await queryRunner.query('SELECT 1')
  const states = PostgresTransactionStates.of(dataSource, recordingLogger(log))!
  expect((await states.open())?.names).toEqual(new Set())
  expect((await PostgresTransactionStates.of(other, recordingLogger(log))!.open())?.names.size).toBe(1)
  await queryRunner.rollbackTransaction()
  await queryRunner.release()
})

test('a transaction has one id, also within its savepoints, whatever becomes of these', async () => {
  const { queryRunner, transaction } = await begun()
  await queryRunner.startTransaction()
  await queryRunner.query('INSERT INTO rows VALUES (2)')
  expect(await ids.open(queryRunner)).toBe(transaction)
  await queryRunner.rollbackTransaction()
  expect(await stateOf(transaction)).toBe('in progress')
  await queryRunner.commitTransaction()
  expect(await stateOf(transaction)).toBe('committed')
})

test('one that has changed nothing has no id, and asking gives it none', async () => {
  const queryRunner = dataSource.createQueryRunner()
  await queryRunner.startTransaction()
  expect(await ids.open(queryRunner)).toBeUndefined()
  expect(await ids.open(queryRunner)).toBeUndefined()
  await queryRunner.rollbackTransaction()
  await queryRunner.release()
})

test('one that has failed has no id to be asked for, and can still be ended', async () => {
  const { queryRunner } = await begun()
  await expect(queryRunner.query('SELECT 1 / 0')).rejects.toThrow('division by zero')
  expect(await ids.open(queryRunner)).toBeUndefined()
  await queryRunner.rollbackTransaction()
})

test('a prepared transaction is in progress until somebody ends it', async () => {
  const { queryRunner, transaction } = await begun()
  await queryRunner.query("PREPARE TRANSACTION 'both'")
  await queryRunner.commitTransaction()
  expect(await stateOf(transaction)).toBe('in progress')
  // It has no lock of its own any more, so it may be any.
  const states = PostgresTransactionStates.of(dataSource, recordingLogger(log))!
  expect(await states.open()).toBeUndefined()
  await server.restart()
  await expect.poll(() => stateOf(transaction).catch(() => 'away')).toBe('in progress')
  await dataSource.query("COMMIT PREPARED 'both'")
  expect(await states.open()).toBeDefined()
  expect(await stateOf(transaction)).toBe('committed')
})

test('after a crash of the database: what was open is aborted, what was committed stays so', async () => {
  const open = await begun()
  const done = await begun()
  await done.queryRunner.commitTransaction()
  await server.kill()
  await expect(stateOf(done.transaction)).rejects.toThrow()
  await server.restart()
  await expect.poll(() => stateOf(done.transaction).catch(() => 'away')).toBe('committed')
  expect(await stateOf(open.transaction)).toBe('aborted')
})

test('unknown: another cluster, an id of the future, one that is too old, and what is no id', async () => {
  const { queryRunner, transaction } = await begun()
  await queryRunner.commitTransaction()
  const { cluster, id } = partsOfTransaction(transaction)
  const far = BigInt(id) + 1_000_000n
  const forged = [
    transactionText('another', id),
    transactionText('', id),
    ...[
      `${far}`,
      '18446744073709551615',
      '18446744073709551616',
      '3',
      '-1',
      '',
      '1 OR 1',
      '9'.repeat(30),
    ].map((one) => transactionText(cluster, one)),
  ]
  const states = await PostgresTransactionStates.of(dataSource, recordingLogger(log))!.of([
    ...forged,
    transaction,
  ])
  expect(Object.fromEntries(states)).toEqual({
    ...Object.fromEntries(forged.map((one) => [one, 'unknown'])),
    [transaction]: 'committed',
  })
})

test('an ordinary role may ask; one that may not is told once, and everything is unknown', async () => {
  const { queryRunner, transaction } = await begun()
  await queryRunner.commitTransaction()
  await dataSource.query("CREATE ROLE ordinary LOGIN PASSWORD 'ordinary'")
  const ordinary = await connect(
    Object.assign(new URL(server.url), { username: 'ordinary', password: 'ordinary' }).href,
  )
  onTestFinished(() => ordinary.destroy())
  expect(await stateOf(transaction, ordinary)).toBe('committed')
  expect(await TransactionIds.of(ordinary, recordingLogger(log))).toBeDefined()
  const { queryRunner: writer } = await begun()
  expect((await PostgresTransactionStates.of(ordinary, recordingLogger(log))!.open())?.names.size).toBe(1)
  await writer.rollbackTransaction()

  await dataSource.query('REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC')
  log.length = 0
  const states = PostgresTransactionStates.of(ordinary, recordingLogger(log))!
  for (let i = 0; i < 2; i++)
    expect(await states.of([transaction])).toEqual(new Map([[transaction, 'unknown']]))
  expect(log).toMatchObject([{ level: 'warn' }])
  log.length = 0
  expect(await TransactionIds.of(ordinary, recordingLogger(log))).toBeUndefined()
  expect(log).toMatchObject([{ level: 'warn', message: expect.stringContaining('delay.ask') }])
})
