import { AsyncLocalStorage } from 'node:async_hooks'

import type { DataSource, EntityManager, EntitySubscriberInterface, QueryRunner } from 'typeorm'

import type { StreamDefinition } from '../indexed.ts'

/** A `bulk` call whose callback is running. */
export interface RunningBulk {
  readonly definitions: readonly StreamDefinition[]
  /** The `bulk` call in whose callback this one was made. */
  readonly outer: RunningBulk | undefined
  /** The query runners of the transactions that the callback used. */
  readonly transactions: Set<QueryRunner>
  /** Whether the callback sent something outside a transaction that may have written. */
  wroteAlone: boolean
}

/** Where a callback wrote: what is committed already can be published, the rest only after its commit. */
export interface WhereWritten {
  readonly open: readonly QueryRunner[]
  readonly committed: boolean
}

const running = new AsyncLocalStorage<RunningBulk>()

/** A `bulk` call that begins here. */
export function beginBulk(
  definitions: readonly StreamDefinition[],
  transaction: QueryRunner | undefined,
): RunningBulk {
  return {
    definitions,
    outer: running.getStore(),
    transactions: new Set(transaction === undefined ? [] : [transaction]),
    wroteAlone: false,
  }
}

/** Whether the current code runs in the callback of a `bulk` call for this entity, at any depth. */
export function isInBulkOf(definition: StreamDefinition): boolean {
  return isInside((bulk) => bulk.definitions.includes(definition))
}

/**
 * Runs the callback of a `bulk` call and finds out where it writes: the ids must be published after the commit of its
 * transaction, and the callback may use any manager, and several. Queries are watched only while it runs.
 */
export async function runInBulk<T>(
  dataSource: DataSource,
  bulk: RunningBulk,
  callback: () => Promise<T>,
): Promise<T> {
  const watch: EntitySubscriberInterface = {
    beforeQuery: ({ queryRunner, query }) => {
      if (!isInside((other) => other === bulk)) return
      if (queryRunner.isTransactionActive) bulk.transactions.add(queryRunner)
      else if (!/^\s*select\b/i.test(query)) bulk.wroteAlone = true
    },
  }
  dataSource.subscribers.push(watch)
  try {
    return await running.run(bulk, callback)
  } finally {
    const position = dataSource.subscribers.indexOf(watch)
    if (position >= 0) dataSource.subscribers.splice(position, 1)
  }
}

/** What of a callback's writes is committed, and which transactions are still open, now that it is done. */
export function whereWritten({ transactions, wroteAlone }: RunningBulk): WhereWritten {
  // After a lost connection a query runner is released, and still says that its transaction is active.
  const open = [...transactions].filter((runner) => runner.isTransactionActive && !runner.isReleased)
  return { open, committed: wroteAlone || open.length < transactions.size }
}

function isInside(wanted: (bulk: RunningBulk) => boolean): boolean {
  for (let bulk = running.getStore(); bulk !== undefined; bulk = bulk.outer) if (wanted(bulk)) return true
  return false
}

/** The query runner of a manager whose transaction is open. */
export function activeRunner(manager: EntityManager | undefined): QueryRunner | undefined {
  return manager?.queryRunner?.isTransactionActive ? manager.queryRunner : undefined
}
