import type { QueryRunner } from 'typeorm'

import type { StreamDefinition } from '../indexed.ts'
import type { Message } from '../streams/message.ts'
import type { CarriedTransaction, Carrier } from './carrier.ts'

/** Who carries the changes of each stream. */
export type CarrierOf = (definition: StreamDefinition) => Carrier

/** A transaction of the application, whose changes may go to the streams on several ways. */
export class OpenTransaction {
  readonly #queryRunner: QueryRunner
  readonly #carrierOf: CarrierOf
  readonly #carried = new Map<Carrier, CarriedTransaction>()
  #savepoints = 0
  /** True once the hook before the commit has begun: a change that is recorded later must not wait for it. */
  #isClosing = false
  /** True once the commit may have been sent to the database. */
  #isCommitting = false

  constructor(queryRunner: QueryRunner, carrierOf: CarrierOf) {
    this.#queryRunner = queryRunner
    this.#carrierOf = carrierOf
  }

  announce(definition: StreamDefinition, message: Message): void {
    this.#of(definition).announce(definition, message)
  }

  record(definition: StreamDefinition, message: Message): void {
    this.#of(definition).record(definition, message)
  }

  note(definition: StreamDefinition, message: Message): void {
    this.#of(definition).note(definition, message)
  }

  async recordPage(definition: StreamDefinition, messages: readonly Message[]): Promise<void> {
    await this.#of(definition).recordPage(definition, messages)
  }

  /** To be awaited after something was recorded: it may be the last moment before the commit. */
  async caughtUp(): Promise<void> {
    const late = [...this.#carried.values()].flatMap((carried) => carried.caughtUp(this.#isClosing) ?? [])
    if (late.length > 0) await Promise.all(late)
  }

  beginSavepoint(): void {
    this.#savepoints++
    for (const carried of this.#carried.values()) carried.beginSavepoint()
  }

  releaseSavepoint(): void {
    this.#savepoints--
    for (const carried of this.#carried.values()) carried.releaseSavepoint()
  }

  rollbackSavepoint(): void {
    this.#savepoints--
    for (const carried of this.#carried.values()) carried.rollbackSavepoint()
  }

  /** Before the commit, also when there is nothing yet: another subscriber may save in its own hook, after ours. */
  async beforeCommit(): Promise<void> {
    this.#isClosing = true
    for (const carried of this.#carried.values()) await carried.beforeCommit()
    this.#isCommitting = true
  }

  async afterCommit(): Promise<void> {
    await Promise.all([...this.#carried.values()].map((carried) => carried.afterCommit()))
  }

  async afterRollback(): Promise<void> {
    await Promise.all([...this.#carried.values()].map((carried) => carried.afterRollback(this.#isCommitting)))
  }

  /** What of the transaction a carrier has. */
  by<T extends CarriedTransaction>(carrier: Carrier & { begin(queryRunner: QueryRunner): T }): T {
    // What is kept for a carrier was made by it.
    return this.#begun(carrier) as T
  }

  #of(definition: StreamDefinition): CarriedTransaction {
    return this.#begun(this.#carrierOf(definition))
  }

  #begun(carrier: Carrier): CarriedTransaction {
    const known = this.#carried.get(carrier)
    if (known !== undefined) return known
    const carried = carrier.begin(this.#queryRunner)
    this.#carried.set(carrier, carried)
    for (let depth = 0; depth < this.#savepoints; depth++) carried.beginSavepoint()
    return carried
  }
}
