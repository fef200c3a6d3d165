import type { QueryRunner } from 'typeorm'

import type { Dialect } from './outbox-table.ts'

/**
 * Runs something in a transaction that locks only the rows which its statements name. Under MySQL's default a lock
 * would cover the gap behind the last row, and with it everybody's INSERT.
 */
export async function inReadCommitted<T>(queryRunner: QueryRunner, action: () => Promise<T>): Promise<T> {
  await queryRunner.startTransaction('READ COMMITTED')
  try {
    const result = await action()
    await queryRunner.commitTransaction()
    return result
  } catch (error) {
    // It fails when the connection is gone, and the transaction with it.
    if (queryRunner.isTransactionActive) await queryRunner.rollbackTransaction().catch(() => undefined)
    throw error
  }
}

/**
 * Runs something in a transaction that holds locks while it waits for others. The locks of a process whose machine or
 * network is gone without a word would stay until TCP notices, which takes it two hours by default; so the database is
 * told to end the transaction after `silentMs` without a statement.
 */
export async function holdingLocks<T>(
  queryRunner: QueryRunner,
  dialect: Exclude<Dialect, 'sqlite'>,
  silentMs: number,
  action: () => Promise<T>,
): Promise<T> {
  if (dialect === 'postgres') {
    return inReadCommitted(queryRunner, async () => {
      await queryRunner.query(`SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(silentMs)}`)
      return action()
    })
  }
  // Of the session, for lack of one of the transaction: the next user of the connection has the usual one.
  await queryRunner.query(`SET SESSION wait_timeout = ${Math.ceil(silentMs / 1_000)}`)
  try {
    return await inReadCommitted(queryRunner, action)
  } finally {
    if (!queryRunner.isReleased)
      await queryRunner.query('SET SESSION wait_timeout = DEFAULT').catch(() => undefined)
  }
}
