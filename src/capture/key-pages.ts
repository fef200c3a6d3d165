import type { DataSource, EntityManager, FindOptionsWhere, ObjectLiteral } from 'typeorm'

import type { IndexDefinition } from '../indexed.ts'
import { keyOf, type RowKey } from './row-key.ts'

/** Which rows: as in TypeORM's `find({ where })`. */
export type Where<E extends ObjectLiteral> = FindOptionsWhere<E> | FindOptionsWhere<E>[]

const rowsPerPage = 1_000

/**
 * The keys of all rows that match, see {@link keyPages}. Without a manager they are read from the primary database: a
 * replica that lags would miss rows.
 */
export async function* matchingKeys<E extends ObjectLiteral>(
  dataSource: DataSource,
  manager: EntityManager | undefined,
  definition: IndexDefinition,
  where: Where<E>,
): AsyncGenerator<RowKey[]> {
  if (manager !== undefined) {
    yield* keyPages(manager, definition, where)
    return
  }
  const queryRunner = dataSource.createQueryRunner('master')
  try {
    yield* keyPages(queryRunner.manager, definition, where)
  } finally {
    await queryRunner.release()
  }
}

/**
 * The keys of all rows that match, page by page in key order (keyset paging: memory and the cost of a page do not
 * grow with the number of rows). Soft-deleted rows are included: their documents may have to go.
 */
async function* keyPages<E extends ObjectLiteral>(
  manager: EntityManager,
  definition: IndexDefinition,
  where: Where<E>,
): AsyncGenerator<RowKey[]> {
  const { metadata } = definition
  const columns = metadata.primaryColumns
  let last: unknown[] | undefined
  for (;;) {
    const query = manager
      .getRepository<E>(metadata.target)
      .createQueryBuilder('row')
      .setFindOptions({ where, withDeleted: true, loadEagerRelations: false })
      .select([])
    columns.forEach((column, i) => {
      const path = `row.${column.propertyPath}`
      query.addSelect(path, `key${i}`).addOrderBy(path, 'ASC')
    })
    if (last !== undefined) {
      const { text, parameters } = after(
        columns.map((column) => `row.${column.propertyPath}`),
        last,
      )
      query.andWhere(text, parameters)
    }
    const rows = await query.limit(rowsPerPage).getRawMany<Record<string, unknown>>()
    const keys = new Set<RowKey>()
    for (const row of rows) {
      const id: ObjectLiteral = {}
      columns.forEach((column, i) => {
        column.setEntityValue(id, manager.connection.driver.prepareHydratedValue(row[`key${i}`], column))
      })
      const key = keyOf(metadata, id)
      // A `where` over a to-many relation repeats rows.
      if (key !== undefined) keys.add(key)
    }
    if (keys.size > 0) yield [...keys]
    const end = rows.at(-1)
    if (end === undefined || rows.length < rowsPerPage) return
    last = columns.map((_, i) => end[`key${i}`])
  }
}

/** "Later in the order of these columns than these values", written out because not every database compares rows. */
function after(
  paths: readonly string[],
  values: readonly unknown[],
): { text: string; parameters: ObjectLiteral } {
  const alternatives = paths.map((path, i) => {
    const equal = paths.slice(0, i).map((other, j) => `${other} = :after${j}`)
    return `(${[...equal, `${path} > :after${i}`].join(' AND ')})`
  })
  return {
    text: `(${alternatives.join(' OR ')})`,
    parameters: Object.fromEntries(values.map((value, i) => [`after${i}`, value])),
  }
}
