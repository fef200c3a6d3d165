import type { QueryRunner } from 'typeorm'

import { pause } from '../runtime/backoff.ts'
import { OpenTransaction, type CarrierOf } from './open-transaction.ts'

// More than a pool has connections, as a rule: then some are left over from lost connections.
const manyOpen = 100

/**
 * The transactions that are open on a DataSource, as its hooks tell of them.
 *
 * State: one {@link OpenTransaction} per query runner, in memory (never in `queryRunner.data`, which
 * `save(entity, { data })` replaces). It leaves the map before the first `await` of the hook that ends it, because
 * another transaction may begin on the same query runner at once. Not a WeakMap, which costs a save more than all other
 * maps together: what ends without a hook is looked for.
 */
export class Transactions {
  readonly #carrierOf: CarrierOf
  readonly #open = new Map<QueryRunner, OpenTransaction>()

  constructor(carrierOf: CarrierOf) {
    this.#carrierOf = carrierOf
  }

  /** The transaction that is open on a query runner. */
  of(queryRunner: QueryRunner): OpenTransaction {
    return this.#open.get(queryRunner) ?? this.#begin(queryRunner)
  }

  /** Waits until no transaction is open, for at most so many ms; returns how many still are. */
  async idle(timeoutMs: number): Promise<number> {
    const end = performance.now() + timeoutMs
    for (;;) {
      this.#forgetReleased()
      if (this.#open.size === 0 || performance.now() > end) return this.#open.size
      await pause(10)
    }
  }

  started(queryRunner: QueryRunner): void {
    if (depthOf(queryRunner) > 1) {
      this.of(queryRunner).beginSavepoint()
      return
    }
    if (this.#open.size > manyOpen) this.#forgetReleased()
    this.#begin(queryRunner)
  }

  async beforeCommit(queryRunner: QueryRunner): Promise<void> {
    // A savepoint is released, and the transaction goes on.
    if (depthOf(queryRunner) <= 1) await this.of(queryRunner).beforeCommit()
  }

  async afterCommit(queryRunner: QueryRunner): Promise<void> {
    if (queryRunner.isTransactionActive) this.#open.get(queryRunner)?.releaseSavepoint()
    else await this.#ended(queryRunner)?.afterCommit()
  }

  async afterRollback(queryRunner: QueryRunner): Promise<void> {
    if (queryRunner.isTransactionActive) this.#open.get(queryRunner)?.rollbackSavepoint()
    else await this.#ended(queryRunner)?.afterRollback()
  }

  #begin(queryRunner: QueryRunner): OpenTransaction {
    const transaction = new OpenTransaction(queryRunner, this.#carrierOf)
    this.#open.set(queryRunner, transaction)
    return transaction
  }

  #ended(queryRunner: QueryRunner): OpenTransaction | undefined {
    const transaction = this.#open.get(queryRunner)
    this.#open.delete(queryRunner)
    return transaction
  }

  /** A transaction whose connection was lost ends without a hook. */
  #forgetReleased(): void {
    for (const queryRunner of this.#open.keys()) if (queryRunner.isReleased) this.#open.delete(queryRunner)
  }
}

/** Depth of nested transactions: 1 is the outermost. Not in TypeORM's public types, but in every driver's query runner. */
function depthOf(queryRunner: QueryRunner): number {
  return (queryRunner as unknown as { transactionDepth?: number }).transactionDepth ?? 1
}
