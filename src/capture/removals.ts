import type { EntityMetadata, ObjectLiteral, QueryRunner } from 'typeorm'

import type { Lane } from '../streams/keys.ts'
import type { RowChange } from './changes.ts'
import type { DatabaseCascade } from './database-cascade.ts'
import { mostInMainLane } from './transaction-capture.ts'

type Record = (queryRunner: QueryRunner, changes: readonly RowChange[], lane: Lane) => Promise<void>

/** Entities that TypeORM is about to remove. */
interface Announced {
  readonly keys: Map<EntityMetadata, ObjectLiteral[]>
  readonly found: Promise<void>
}

/** Tells of the rows that the database deletes or changes along with rows that are deleted. */
export class Removals {
  readonly #cascade: DatabaseCascade
  readonly #record: Record
  readonly #announced = new WeakMap<QueryRunner, Announced>()
  readonly #afterwards = new WeakMap<QueryRunner, (() => Promise<void>)[]>()

  constructor(cascade: DatabaseCascade, record: Record) {
    this.#cascade = cascade
    this.#record = record
  }

  /** Whether other rows go with those of this entity that somebody follows. */
  takesAlong(metadata: EntityMetadata): boolean {
    return this.#cascade.startsAt(metadata)
  }

  /**
   * To be called before the DELETE. Inside a transaction the rows are recorded at once; outside of one they are not
   * true before the statement is done.
   *
   * @returns to be called after the DELETE
   */
  async before(
    queryRunner: QueryRunner,
    metadata: EntityMetadata,
    keys: readonly ObjectLiteral[],
  ): Promise<() => Promise<void>> {
    const waiting: RowChange[] = []
    let rows = 0
    for await (const page of this.#cascade.rowsThatGoWith(queryRunner, metadata, keys)) {
      if (queryRunner.isTransactionActive) {
        await this.#record(queryRunner, page, rows < mostInMainLane ? 'main' : 'bulk')
        rows += page.length
      } else waiting.push(...page)
    }
    return async () => {
      if (waiting.length > 0) await this.#record(queryRunner, waiting, 'main')
    }
  }

  /**
   * {@link before} for entities that TypeORM removes, of which its events tell one by one: those that are told in the
   * same tick share the queries. {@link done} is what must be called after the DELETE.
   */
  async announced(queryRunner: QueryRunner, { metadata, key }: RowChange): Promise<void> {
    if (key === undefined || !this.takesAlong(metadata)) return
    const announced = this.#announced.get(queryRunner) ?? {
      keys: new Map<EntityMetadata, ObjectLiteral[]>(),
      found: Promise.resolve().then(() => this.#find(queryRunner)),
    }
    this.#announced.set(queryRunner, announced)
    const keys = announced.keys.get(metadata) ?? []
    announced.keys.set(metadata, keys)
    keys.push(key)
    await announced.found
  }

  async done(queryRunner: QueryRunner): Promise<void> {
    const afterwards = this.#afterwards.get(queryRunner) ?? []
    this.#afterwards.delete(queryRunner)
    for (const tell of afterwards) await tell()
  }

  async #find(queryRunner: QueryRunner): Promise<void> {
    const { keys } = this.#announced.get(queryRunner)!
    this.#announced.delete(queryRunner)
    const afterwards = this.#afterwards.get(queryRunner) ?? []
    this.#afterwards.set(queryRunner, afterwards)
    for (const [metadata, ids] of keys) afterwards.push(await this.before(queryRunner, metadata, ids))
  }
}
