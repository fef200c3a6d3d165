import type { DataSource, QueryRunner } from 'typeorm'

import type { RowKey } from '../../capture/row-key.ts'
import { isRedstreamError } from '../../errors.ts'
import type { IndexDefinition } from '../../indexed.ts'
import type { Logger } from '../../runtime/logger.ts'
import { sqlStateOf } from '../../sql-state.ts'
import { shapeOf } from '../document-loader.ts'
import { isHeardOf } from '../loading/after-load.ts'
import type { RawRow } from '../loading/hydration.ts'
import { keyOfValues, valuesOfKey } from '../loading/key-values.ts'
import type { Shape } from '../loading/load-plan.ts'
import { readingFailed } from '../loading/queries.ts'
import { obstacles, placesOf } from './decision.ts'
import { readFacts } from './facts.ts'
import { documentQuery, names, type DocumentQuery } from './query.ts'

/** What the database has made, and what is to be made of entities. */
export interface Projected {
  /** JSON text of documents by row key. */
  readonly documents: ReadonlyMap<RowKey, string>
  /** Keys whose rows are to be loaded. */
  readonly rest: readonly RowKey[]
}

interface Plan {
  /** Undefined: entities are needed. */
  readonly query: DocumentQuery | undefined
}

/**
 * Documents made by the database, where nobody else has a say in them (see `decision.ts`). Decided with the first
 * batch, and again when a column's type has changed. Rows that need it go the way through entities one by one.
 */
export class Projection {
  readonly #definition: IndexDefinition
  readonly #dataSource: DataSource
  readonly #logger: Logger
  readonly #shape: Shape
  #plan: Promise<Plan> | undefined

  constructor(definition: IndexDefinition, dataSource: DataSource, logger: Logger) {
    this.#definition = definition
    this.#dataSource = dataSource
    this.#logger = logger
    this.#shape = shapeOf(definition)
  }

  /**
   * Reads the documents of rows from the primary database. A key in neither part of the result has no row.
   *
   * @throws RedstreamError DATABASE when the database cannot be reached
   */
  async read(keys: readonly RowKey[]): Promise<Projected> {
    const all: Projected = { documents: new Map(), rest: keys }
    if (this.#dataSource.options.type !== 'postgres' || keys.length === 0) return all
    const queryRunner = this.#dataSource.createQueryRunner('master')
    try {
      this.#plan ??= this.#decide(queryRunner)
      const { query } = await this.#plan
      // Somebody may have subscribed since.
      return query === undefined || this.#isHeard() ? all : await this.#run(queryRunner, query, keys)
    } catch (error) {
      this.#plan = undefined
      // What the database has refused (a value, a column that is gone, a statement that takes too long) may work with the
      // smaller queries of the way through entities, and otherwise they tell more exactly.
      if (!isRedstreamError(error) || sqlStateOf(error) === undefined) throw error
      this.#logger.debug(
        { index: this.#definition.name, err: error },
        'the database has not made these documents',
      )
      return all
    } finally {
      await queryRunner.release()
    }
  }

  async #decide(queryRunner: QueryRunner): Promise<Plan> {
    const facts = await readFacts(queryRunner, this.#shape)
    const because = obstacles(this.#definition, this.#shape, facts)
    const index = this.#definition.name
    if (because.length > 0) {
      this.#logger.debug({ index, because }, 'documents are made of entities')
      return { query: undefined }
    }
    this.#logger.debug({ index }, 'documents are made by the database')
    return { query: documentQuery(queryRunner, this.#shape, facts) }
  }

  #isHeard(): boolean {
    return placesOf(this.#shape).some(({ metadata }) => isHeardOf(this.#dataSource, metadata))
  }

  async #run(
    queryRunner: QueryRunner,
    { sql, parameters }: DocumentQuery,
    keys: readonly RowKey[],
  ): Promise<Projected> {
    const { driver } = this.#dataSource
    const { metadata } = this.#shape
    const rest = new Set<RowKey>()
    const values: unknown[] = []
    for (const key of new Set(keys)) {
      try {
        values.push(valuesOfKey(metadata, key, driver)[0])
      } catch {
        // No value of the column: the loader says so.
        rest.add(key)
      }
    }
    const documents = new Map<RowKey, string>()
    for (const row of await read(queryRunner, metadata.name, sql, [values, ...parameters])) {
      const key = keyOfValues(metadata, [row[`${names.key}0`]], driver)
      const document = row[names.document]
      if (row[names.known] !== true) this.#plan = undefined
      if (typeof document === 'string' && !documents.has(key) && !rest.has(key)) documents.set(key, document)
      else {
        // Also a row that comes twice, by a one-to-one relation without a unique constraint: the loader says which counts.
        documents.delete(key)
        rest.add(key)
      }
    }
    return { documents, rest: [...rest] }
  }
}

async function read(
  queryRunner: QueryRunner,
  entity: string,
  sql: string,
  parameters: unknown[],
): Promise<RawRow[]> {
  try {
    return (await queryRunner.query(sql, parameters)) as RawRow[]
  } catch (error) {
    throw readingFailed(entity, error)
  }
}
