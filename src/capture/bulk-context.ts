import { AsyncLocalStorage } from 'node:async_hooks'

import type { DataSource, EntitySubscriberInterface, QueryRunner } from 'typeorm'

import type { IndexDefinition } from '../indexed.ts'

/** A `bulk` call whose callback is running. */
export interface RunningBulk {
  readonly definition: IndexDefinition
  /** The query runner of the transaction that the callback wrote in, if it did. */
  transaction: QueryRunner | undefined
}

const running = new AsyncLocalStorage<RunningBulk>()

/** The `bulk` call in whose callback the current code runs. */
export function currentBulk(): RunningBulk | undefined {
  return running.getStore()
}

/**
 * Runs the callback of a `bulk` call and finds out in which transaction it writes: the ids must be published after
 * that transaction's commit, and the callback may use any manager. Queries are watched only while it runs.
 */
export async function runInBulk<T>(
  dataSource: DataSource,
  bulk: RunningBulk,
  callback: () => Promise<T>,
): Promise<T> {
  const watch: EntitySubscriberInterface = {
    beforeQuery: ({ queryRunner }) => {
      if (currentBulk() === bulk && queryRunner.isTransactionActive) bulk.transaction = queryRunner
    },
  }
  dataSource.subscribers.push(watch)
  try {
    return await running.run(bulk, callback)
  } finally {
    dataSource.subscribers.splice(dataSource.subscribers.indexOf(watch), 1)
  }
}
