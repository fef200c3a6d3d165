import type { DataSource, QueryRunner, SelectQueryBuilder, ObjectLiteral } from 'typeorm'

import { comparesRows, keyBound, type Bound } from '../capture/key-condition.ts'
import type { RowKey } from '../capture/row-key.ts'
import { isRedstreamError, RedstreamError } from '../errors.ts'
import type { IndexDefinition } from '../indexed.ts'
import { keyOfValues, valuesOfKey } from '../sync/loading/key-values.ts'

/** A range of keys in the order of the database. */
export interface Range {
  /** The range begins after this key; undefined: with the first one. */
  readonly after?: RowKey | undefined
  /** The last key of the range; undefined: the last one of the table, whenever it is written. */
  readonly upTo?: RowKey | undefined
}

/** A part of the table that is copied by one worker at a time. */
export interface Slice extends Range {
  /** 0-based. */
  readonly number: number
}

/** How many rows a slice shall have: many small slices, so that all hands have work until the end. */
export function rowsPerSlice(rows: number): number {
  return Math.max(2_000, Math.ceil(rows / 1_000))
}

/** The slices between some keys, which are in the order of the database. */
export function slicesBetween(keys: readonly RowKey[]): Slice[] {
  return [...keys, undefined].map((upTo, number) => ({ number, after: keys[number - 1], upTo }))
}

/** Above so many rows their number is estimated, and the slices are cut by a sample. */
const manyRows = 1_000_000
/** Rows of a sample for each slice: enough to make the slices about equal, however the keys are spread. */
const sampledPerSlice = 30

type Query = SelectQueryBuilder<ObjectLiteral>

/** Reads keys of a table from the primary database: by index, in the order of the primary key. */
export class TableKeys {
  readonly #dataSource: DataSource
  readonly #definition: IndexDefinition

  constructor(dataSource: DataSource, definition: IndexDefinition) {
    this.#dataSource = dataSource
    this.#definition = definition
  }

  /** At most `limit` keys of a range, and the last key up to which they reach. Soft-deleted rows as the definition says. */
  async page(range: Range, limit: number): Promise<RowKey[]> {
    const keys = await this.#read((query) => this.#within(query, range).limit(limit))
    // The text of a timestamp has fewer digits than the database: its row would come again, for ever.
    if (keys.length > 0 && keys.at(-1) === range.after) {
      const { name } = this.#definition.metadata
      throw new RedstreamError(
        'ENTITY',
        `${name} cannot be read in the order of its primary key: the row after "${range.after}" has the same key as text`,
      )
    }
    return keys
  }

  /** The number of rows: exact, or the database's estimate where counting would take long. */
  async count(): Promise<number> {
    const estimate = await this.#estimate()
    if (estimate > manyRows) return estimate
    const found = await this.#run((query) =>
      query.select('COUNT(*)', 'rows').getRawOne<{ rows: number | string }>(),
    )
    return Number(found?.rows ?? 0)
  }

  /** Cuts the table into slices. Only keys are read: every n-th of a small table, a sample of a large one. */
  async slices(rows: number): Promise<Slice[]> {
    const size = rowsPerSlice(rows)
    const sample = rows > manyRows && this.#isPostgres() ? await this.#sample(rows, size) : undefined
    return slicesBetween(sample ?? (await this.#everyNth(size)))
  }

  async #everyNth(n: number): Promise<RowKey[]> {
    const found: RowKey[] = []
    for (;;) {
      const [key] = await this.#read((query) =>
        this.#within(query, { after: found.at(-1) })
          .offset(n - 1)
          .limit(1),
      )
      if (key === undefined) return found
      found.push(key)
    }
  }

  /** Whole pages of the table, chosen at random by PostgreSQL; the cuts are as even as that is. */
  async #sample(rows: number, size: number): Promise<RowKey[]> {
    const { metadata } = this.#definition
    const wanted = (rows / size) * sampledPerSlice
    const percent = Math.min(100, (100 * wanted) / rows)
    const names = metadata.primaryColumns.map(({ databaseName }) => this.#escape(databaseName))
    const table = metadata.tablePath.split('.').map((part) => this.#escape(part))
    const sql =
      `SELECT ${names.map((name, i) => `${name} AS key${i}`).join(', ')} FROM ${table.join('.')} ` +
      `TABLESAMPLE SYSTEM (${percent}) ORDER BY ${names.join(', ')}`
    const rowsOfSample = await this.#withRunner((runner) => runner.query(sql) as Promise<RawKey[]>)
    return rowsOfSample
      .filter((_, i) => i % sampledPerSlice === sampledPerSlice - 1)
      .map((row) => this.#keyOf(row))
  }

  async #estimate(): Promise<number> {
    if (!this.#isPostgres()) return 0
    const { tablePath } = this.#definition.metadata
    const name = tablePath
      .split('.')
      .map((part) => this.#escape(part))
      .join('.')
    const sql = 'SELECT reltuples::float8 AS rows FROM pg_class WHERE oid = to_regclass($1)'
    const [found] = await this.#withRunner(
      (runner) => runner.query(sql, [name]) as Promise<{ rows: number }[]>,
    )
    return found?.rows ?? 0
  }

  async #read(shape: (query: Query) => Query): Promise<RowKey[]> {
    return this.#run(async (query) => {
      this.#columns(query).forEach((column, i) =>
        query.addSelect(column, `key${i}`).addOrderBy(query.escape(`key${i}`), 'ASC'),
      )
      const rows = await shape(query).getRawMany<RawKey>()
      return rows.map((row) => this.#keyOf(row))
    })
  }

  #run<T>(work: (query: Query) => Promise<T>): Promise<T> {
    const { metadata, options } = this.#definition
    return this.#withRunner((runner) => {
      const query = runner.manager
        .createQueryBuilder()
        .select([])
        .from(metadata.target as string, 'row')
        .cache(false)
        .setOption('disable-global-order')
      return work(options.withDeleted === true ? query.withDeleted() : query)
    })
  }

  async #withRunner<T>(work: (runner: QueryRunner) => Promise<T>): Promise<T> {
    const { metadata } = this.#definition
    const runner = this.#dataSource.createQueryRunner('master')
    try {
      return await work(runner)
    } catch (error) {
      if (isRedstreamError(error)) throw error
      const reason = error instanceof Error ? error.message : String(error)
      throw new RedstreamError('DATABASE', `Reading keys of ${metadata.name} failed: ${reason}`, {
        cause: error,
      })
    } finally {
      await runner.release()
    }
  }

  #within(query: Query, { after, upTo }: Range): Query {
    const columns = this.#columns(query)
    const add = (key: RowKey | undefined, bound: Bound): void => {
      if (key === undefined) return
      const values = valuesOfKey(this.#definition.metadata, key, this.#dataSource.driver)
      const { sql, parameters } = keyBound(
        columns,
        values,
        bound,
        comparesRows(this.#dataSource.options.type),
      )
      query.andWhere(sql, parameters)
    }
    add(after, 'after')
    add(upTo, 'upTo')
    return query
  }

  #columns(query: Query): string[] {
    return this.#definition.metadata.primaryColumns.map(
      ({ databaseName }) => `${query.escape('row')}.${query.escape(databaseName)}`,
    )
  }

  #keyOf(row: RawKey): RowKey {
    const { metadata } = this.#definition
    const values = metadata.primaryColumns.map((_, i) => row[`key${i}`])
    return keyOfValues(metadata, values, this.#dataSource.driver)
  }

  #escape(name: string): string {
    return this.#dataSource.driver.escape(name)
  }

  #isPostgres(): boolean {
    return this.#dataSource.options.type === 'postgres'
  }
}

type RawKey = Record<string, unknown>
