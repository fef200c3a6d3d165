import type { ObjectLiteral, QueryRunner, SelectQueryBuilder } from 'typeorm'

import { comparesRows, keyBound, keyCondition, type KeyValues } from '../capture/key-condition.ts'
import type { RowKey } from '../capture/row-key.ts'
import { RedstreamError } from '../errors.ts'
import { keyOfValues, valuesOfKey } from '../sync/loading/key-values.ts'
import type { CascadePath } from './paths.ts'

/** Some owners, in the order of their keys. */
export interface OwnerPage {
  /** Each once. */
  readonly keys: readonly RowKey[]
  /** Where the next page begins: after this key. Undefined when there is none. */
  readonly next: RowKey | undefined
}

/**
 * The next owners whose documents hold what the given values name at the end of a path: one query, with the values as
 * parameters. Soft-deleted rows on the way count, because their deletion is what may have changed.
 *
 * @param starts - values of the columns `path.at`
 * @param after - where the page begins; undefined: with the first owner
 * @throws RedstreamError DATABASE when the database cannot be reached or refuses the query
 */
export async function ownerPage(
  queryRunner: QueryRunner,
  path: CascadePath,
  starts: readonly KeyValues[],
  after: RowKey | undefined,
  limit: number,
): Promise<OwnerPage> {
  const { metadata } = path.owner
  const { driver } = queryRunner.connection
  const names = metadata.primaryColumns.map((_, index) => `k${index}`)
  let rows: Record<string, unknown>[]
  try {
    rows = await ownerQuery(queryRunner, path, names, starts, after).limit(limit).getRawMany()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const what = `Looking for the ${metadata.name} rows that hold ${path.relation} failed: ${reason}`
    throw new RedstreamError('DATABASE', what, { cause: error })
  }
  // A path over to-many relations finds an owner once for each way that leads there.
  const keys = new Set(
    rows.map((row) => {
      const values = names.map((name) => row[name])
      return keyOfValues(metadata, values, driver)
    }),
  )
  return { keys: [...keys], next: rows.length < limit ? undefined : [...keys].at(-1) }
}

function ownerQuery(
  queryRunner: QueryRunner,
  { owner, joins, at }: CascadePath,
  names: readonly string[],
  starts: readonly KeyValues[],
  after: RowKey | undefined,
): SelectQueryBuilder<ObjectLiteral> {
  const { metadata, options } = owner
  const { type } = queryRunner.connection.options
  const query = queryRunner.manager
    .createQueryBuilder()
    .select([])
    .cache(false)
    .setOption('disable-global-order')
    // Before any join: TypeORM writes its condition when the join is made.
    .withDeleted()
    .from(metadata.target as string, aliasOf(0))
  joins.forEach((relation, index) =>
    query.innerJoin(`${aliasOf(index)}.${relation.propertyPath}`, aliasOf(index + 1)),
  )
  const nameOf = (alias: string, { databaseName }: { databaseName: string }): string =>
    `${query.escape(alias)}.${query.escape(databaseName)}`
  const keyNames = metadata.primaryColumns.map((column) => nameOf(aliasOf(0), column))
  keyNames.forEach((keyName, index) => query.addSelect(keyName, names[index]))
  for (const name of names) query.addOrderBy(query.escape(name), 'ASC')
  const place = at.map((column) => nameOf(aliasOf(joins.length), column))
  const held = keyCondition(place, starts, type === 'postgres' || type === 'cockroachdb')
  query.where(`(${held.sql})`, held.parameters)
  if (metadata.deleteDateColumn && options.withDeleted !== true)
    query.andWhere(`${nameOf(aliasOf(0), metadata.deleteDateColumn)} IS NULL`)
  if (after === undefined) return query
  const values = valuesOfKey(metadata, after, queryRunner.connection.driver)
  const later = keyBound(keyNames, values, 'after', comparesRows(type))
  return query.andWhere(later.sql, later.parameters)
}

function aliasOf(index: number): string {
  return `t${index}`
}
