import type { DataSource, EntityManager, EntityMetadata, FindOptionsWhere, ObjectLiteral } from 'typeorm'
import type { SelectQueryBuilder } from 'typeorm'

import { hydrated, type Column } from './changes.ts'
import { comparesRows, keyBound } from './key-condition.ts'
import { keyOf, type RowKey } from './row-key.ts'

/** Which rows: as in TypeORM's `find({ where })`. */
export type Where<E extends ObjectLiteral> = FindOptionsWhere<E> | FindOptionsWhere<E>[]

/** A row as the driver returns it, by the names of its columns in the database. */
export type RawRow = Readonly<Record<string, unknown>>

type Query = SelectQueryBuilder<ObjectLiteral>

export const rowsPerPage = 1_000

/**
 * The keys of all rows that match, page by page in key order. Soft-deleted rows are included: their documents may have
 * to go. Without a manager they are read from the primary database: a replica that lags would miss rows.
 */
export async function* matchingKeys<E extends ObjectLiteral>(
  dataSource: DataSource,
  manager: EntityManager | undefined,
  { metadata }: { readonly metadata: EntityMetadata },
  where: Where<E>,
): AsyncGenerator<RowKey[]> {
  const queryRunner = manager === undefined ? dataSource.createQueryRunner('master') : undefined
  const reading = manager ?? queryRunner!.manager
  const columns = metadata.primaryColumns
  try {
    const pages = keysetPages(metadata, () => selectMatching(reading, metadata, where, columns))
    for await (const rows of pages) {
      // A `where` over a to-many relation repeats rows.
      const keys = new Set(rows.flatMap((row) => keyOf(metadata, idOf(metadata, row)) ?? []))
      if (keys.size > 0) yield [...keys]
    }
  } finally {
    await queryRunner?.release()
  }
}

/** Selects columns of the rows that match under their names in the database. The alias of the rows is `row`. */
export function selectMatching<E extends ObjectLiteral>(
  manager: EntityManager,
  metadata: EntityMetadata,
  where: Where<E>,
  columns: readonly Column[],
): Query {
  const query = manager
    .getRepository<ObjectLiteral>(metadata.target)
    .createQueryBuilder('row')
    .setFindOptions({ where, withDeleted: true, loadEagerRelations: false })
    .select([])
  for (const column of columns) query.addSelect(nameIn(query, column), column.databaseName)
  return query
}

/**
 * The rows of a query in pages, in key order: neither memory nor the cost of a page grows with the number of rows.
 *
 * @param select - makes the query, whose alias is `row`; it must select the primary key and have a condition
 */
export async function* keysetPages(metadata: EntityMetadata, select: () => Query): AsyncGenerator<RawRow[]> {
  const key = metadata.primaryColumns
  let last: RawRow | undefined
  for (;;) {
    const query = select().limit(rowsPerPage)
    for (const { databaseName } of key) query.addOrderBy(query.escape(databaseName), 'ASC')
    if (last !== undefined) later(query, key, last)
    const rows = await query.getRawMany<RawRow>()
    if (rows.length > 0) yield rows
    last = rows.at(-1)
    if (last === undefined || rows.length < rowsPerPage) return
  }
}

/** A column of the alias `row`, as SQL. */
export function nameIn(query: Query, { databaseName }: Column): string {
  return `${query.escape('row')}.${query.escape(databaseName)}`
}

/** The primary key in a row by property, as `keyOf` takes it. */
export function idOf({ primaryColumns }: EntityMetadata, row: RawRow): ObjectLiteral {
  const id: ObjectLiteral = {}
  for (const column of primaryColumns) column.setEntityValue(id, hydrated(column, row[column.databaseName]))
  return id
}

function later(query: Query, key: readonly Column[], last: RawRow): void {
  const names = key.map((column) => nameIn(query, column))
  const { sql, parameters } = keyBound(
    names,
    key.map(({ databaseName }) => last[databaseName]),
    'after',
    comparesRows(query.connection.options.type),
  )
  query.andWhere(sql, parameters)
}
