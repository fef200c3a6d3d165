import type { DataSource, EntityMetadata, ObjectLiteral, QueryRunner, SelectQueryBuilder } from 'typeorm'

import { definitionsByMetadata } from '../definitions.ts'
import type { StreamDefinition } from '../indexed.ts'
import { cascadePlan, isInCycle, type CascadePlan, type CascadeStep } from './cascade-plan.ts'
import { foreignKeyColumns, hydrated, persisted, type Column, type RowChange } from './changes.ts'
import { keyCondition, type KeyValues } from './key-condition.ts'
import { idOf, keysetPages, nameIn, type RawRow } from './key-pages.ts'
import { keyOf } from './row-key.ts'
import { lockRows } from './row-lock.ts'

// Oracle allows 1,000 values in a list, SQL Server 2,100 parameters.
const valuesPerQuery = 1_000

/**
 * Finds what the database will do by itself when rows are deleted, before it does: no event tells of it. Over all
 * levels, through junction tables too, with one query per foreign key and page of rows.
 *
 * Inside a transaction the rows that others hang from are locked first. So no other transaction can add a row that would
 * go too: its foreign key has to wait for this transaction. Outside of one that is not so: a row that another
 * transaction adds between the look and the delete goes unseen.
 */
export class DatabaseCascade {
  readonly #plan: CascadePlan

  /** @param definitions - of the entities whose changes are to be told */
  constructor(dataSource: DataSource, definitions: readonly StreamDefinition[]) {
    const followed = definitionsByMetadata(dataSource, definitions)
    this.#plan = cascadePlan(dataSource.entityMetadatas, (metadata) => followed.has(metadata))
  }

  /** Whether rows that matter go or change with rows of this entity. */
  startsAt({ tablePath }: EntityMetadata): boolean {
    return this.#plan.has(tablePath)
  }

  /**
   * The rows that will be deleted, or lose their foreign key, with the rows of these keys: page by page, each only after
   * those that it depends on. Call it before the delete.
   *
   * @param keys - as `RowChange` has them; the rows themselves are not among the result
   */
  async *rowsThatGoWith(
    queryRunner: QueryRunner,
    metadata: EntityMetadata,
    keys: readonly ObjectLiteral[],
  ): AsyncGenerator<RowChange[]> {
    if (!this.startsAt(metadata)) return
    const seen = new Seen(this.#plan)
    const columns = this.#columnsOf(metadata)
    const key = metadata.primaryColumns
    const values = keys.map((id) => key.map((column) => persisted(column, column.getEntityValue(id))))
    for await (const rows of rowsWith(queryRunner, metadata, columns, key, values)) {
      yield* this.#goingWith(queryRunner, metadata, seen.fresh(metadata, rows), seen)
    }
  }

  async *#goingWith(
    queryRunner: QueryRunner,
    { tablePath }: EntityMetadata,
    parents: readonly RawRow[],
    seen: Seen,
  ): AsyncGenerator<RowChange[]> {
    for (const step of this.#plan.get(tablePath) ?? []) {
      const { metadata, columns, referenced, action, matters } = step
      const values = parents.map((row) => referenced.map((column) => row[column.databaseName]))
      const wanted = this.#columnsOf(metadata)
      for await (const page of rowsWith(queryRunner, metadata, wanted, columns, values)) {
        const rows = action === 'CASCADE' ? seen.fresh(metadata, page) : page
        if (matters && rows.length > 0) yield rows.map((row) => changeOf(step, row))
        if (action === 'CASCADE') yield* this.#goingWith(queryRunner, metadata, rows, seen)
      }
    }
  }

  /** What must be known of a row: its key, its foreign keys, and what others refer to. */
  #columnsOf(metadata: EntityMetadata): Column[] {
    const referenced = (this.#plan.get(metadata.tablePath) ?? []).flatMap((step) => step.referenced)
    const all = [...metadata.primaryColumns, ...foreignKeyColumns(metadata), ...referenced]
    return [...new Map(all.map((column) => [column.databaseName, column])).values()]
  }
}

/** Which rows have been found, for tables whose rows may lead back to themselves: trees, and rings in the data. */
class Seen {
  readonly #plan: CascadePlan
  readonly #keys = new Map<string, Set<string>>()

  constructor(plan: CascadePlan) {
    this.#plan = plan
  }

  /** The rows that were not found before. */
  fresh(metadata: EntityMetadata, rows: readonly RawRow[]): readonly RawRow[] {
    const { tablePath } = metadata
    if (!isInCycle(this.#plan, tablePath)) return rows
    const keys = this.#keys.get(tablePath) ?? new Set()
    this.#keys.set(tablePath, keys)
    return rows.filter((row) => {
      const key = keyOf(metadata, idOf(metadata, row)) ?? ''
      return !keys.has(key) && keys.add(key)
    })
  }
}

/** Rows that have one of the values in some columns, in pages, locked when this is a transaction. */
export async function* rowsWith(
  queryRunner: QueryRunner,
  metadata: EntityMetadata,
  wanted: readonly Column[],
  columns: readonly Column[],
  values: readonly KeyValues[],
): AsyncGenerator<RawRow[]> {
  // A foreign key with a part that is NULL refers to nothing.
  const complete = values.filter((parts) => parts.every((part) => part !== null && part !== undefined))
  const size = Math.floor(valuesPerQuery / columns.length)
  for (let start = 0; start < complete.length; start += size) {
    const chunk = complete.slice(start, start + size)
    yield* keysetPages(metadata, () => {
      const query = selectFrom(queryRunner, metadata)
      for (const column of wanted) query.addSelect(nameIn(query, column), column.databaseName)
      const names = columns.map((column) => nameIn(query, column))
      const { sql, parameters } = keyCondition(names, chunk, false)
      query.where(`(${sql})`, parameters)
      return queryRunner.isTransactionActive ? lockRows(query, queryRunner.connection, 'row') : query
    })
  }
}

function selectFrom({ manager }: QueryRunner, metadata: EntityMetadata): SelectQueryBuilder<ObjectLiteral> {
  // The class of a child entity would stand for the rows of that child alone.
  const { isJunction, tablePath, target } = metadata.parentEntityMetadata ?? metadata
  return manager
    .createQueryBuilder()
    .select([])
    .from(isJunction ? tablePath : (target as string), 'row')
    .withDeleted()
    .setOption('disable-global-order')
}

function changeOf({ metadata, columns, action }: CascadeStep, row: RawRow): RowChange {
  const before = foreignKeysIn(metadata, row)
  const key = idOf(metadata, row)
  if (action === 'CASCADE') return { metadata, kind: 'delete', key, before }
  const after = { ...before }
  for (const { databaseName } of columns) {
    // What the default is, the database knows.
    if (action === 'SET NULL') after[databaseName] = null
    else delete after[databaseName]
  }
  return { metadata, kind: 'update', key, before, after }
}

function foreignKeysIn(metadata: EntityMetadata, row: RawRow): Record<string, unknown> {
  const columns = foreignKeyColumns(metadata)
  return Object.fromEntries(
    columns.map((column) => [column.databaseName, hydrated(column, row[column.databaseName])]),
  )
}
