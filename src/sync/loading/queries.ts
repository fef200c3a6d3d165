import type { QueryRunner, SelectQueryBuilder, ObjectLiteral } from 'typeorm'

import { keyCondition, type KeyValues } from '../../capture/key-condition.ts'
import { isComparedByText } from '../../capture/row-key.ts'
import { RedstreamError } from '../../errors.ts'
import type { Relation } from '../relation-tree.ts'
import type { RawRow } from './hydration.ts'
import type { Branch, Column, Shape } from './load-plan.ts'

type Query = SelectQueryBuilder<ObjectLiteral>

// Where arrays cannot be a parameter, a query takes its keys as single ones. SQL Server allows 2,100 of them and
// Oracle 1,000 values in a list; larger chunks gain nothing elsewhere.
const maxValues = 1000

/** Names of the parent's key in the rows of a to-many query. */
export const parentNames = (columns: readonly Column[]): string[] => columns.map((_, index) => `p${index}`)
/** Names of the target's key in the rows of {@link readPairs}. */
export const targetNames = (columns: readonly Column[]): string[] => columns.map((_, index) => `k${index}`)

/** A query whose rows are to be restricted to some keys. */
export interface KeyedQuery {
  readonly query: Query
  readonly alias: string
  /** Columns of the table with that alias that hold the keys. */
  readonly columns: readonly Column[]
}

/** Rows of a shape by their primary keys, with its to-one relations joined. */
export function readRows(
  queryRunner: QueryRunner,
  shape: Shape,
  keys: readonly KeyValues[],
): Promise<RawRow[]> {
  return readByKeys(queryRunner, keys, () => rowsQuery(queryRunner, shape))
}

/** The children of a one-to-many relation, each with its parent's key, ordered by their own. */
export function readChildren(
  queryRunner: QueryRunner,
  branch: Branch,
  parents: readonly KeyValues[],
): Promise<RawRow[]> {
  return readByKeys(queryRunner, parents, () => {
    const keyed = childrenQuery(queryRunner, branch)
    orderByKey(keyed.query, branch.shape.identity)
    return keyed
  })
}

/** Which parent holds which target of a many-to-many relation, ordered by the target's key. */
export function readPairs(
  queryRunner: QueryRunner,
  branch: Branch,
  parents: readonly KeyValues[],
): Promise<RawRow[]> {
  return readByKeys(queryRunner, parents, () => {
    const keyed = pairsQuery(queryRunner, branch)
    orderByKey(keyed.query, targetNames(branch.shape.metadata.primaryColumns))
    return keyed
  })
}

/** The rows of a shape, for {@link readRows}. */
export function rowsQuery(queryRunner: QueryRunner, shape: Shape): KeyedQuery {
  const { metadata, alias } = shape
  return { query: selectShape(queryRunner, shape), alias, columns: metadata.primaryColumns }
}

/** Children with their parents' keys, for {@link readChildren}. */
export function childrenQuery(queryRunner: QueryRunner, { relation, shape }: Branch): KeyedQuery {
  const key = relation.entityMetadata.primaryColumns
  const inverse = relation.inverseRelation
  if (!inverse)
    throw new Error(`${relation.entityMetadata.name}.${relation.propertyPath} has no inverse side`)
  const own = foreignKeyOf(key, inverse.joinColumns)
  const [columns, alias] = own ? [own, shape.alias] : [key, 'parent']
  const query = selectShape(queryRunner, shape)
  if (!own) query.innerJoin(`${shape.alias}.${inverse.propertyPath}`, 'parent')
  addKey(query, alias, columns, parentNames(key))
  return { query, alias, columns }
}

/** Pairs of keys, for {@link readPairs}. */
export function pairsQuery(queryRunner: QueryRunner, { relation, shape }: Branch): KeyedQuery {
  const key = relation.entityMetadata.primaryColumns
  const targetKey = relation.inverseEntityMetadata.primaryColumns
  const sides = junctionKeys(relation)
  const [columns, alias] = sides ? [sides.parent, 'pair'] : [key, 'parent']
  const query = sides
    ? select(queryRunner, shape).from(sides.table, 'pair')
    : select(queryRunner, shape)
        .from(relation.entityMetadata.target as string, 'parent')
        .innerJoin(`parent.${relation.propertyPath}`, 'target')
  addKey(query, alias, columns, parentNames(key))
  addKey(query, sides ? 'pair' : 'target', sides?.target ?? targetKey, targetNames(targetKey))
  return { query, alias, columns }
}

function junctionKeys(relation: Relation): { table: string; parent: Column[]; target: Column[] } | undefined {
  const junction = relation.junctionEntityMetadata
  if (!junction) return undefined
  const { ownerColumns, inverseColumns, tablePath } = junction
  const [near, far] = relation.isOwning ? [ownerColumns, inverseColumns] : [inverseColumns, ownerColumns]
  const parent = foreignKeyOf(relation.entityMetadata.primaryColumns, near)
  const target = foreignKeyOf(relation.inverseEntityMetadata.primaryColumns, far)
  return parent && target && { table: tablePath, parent, target }
}

/**
 * The foreign key in the order of the primary key that it refers to. Undefined when it refers to other columns, or
 * when the database may hold values equal that have different texts (collations that ignore case, `1.0` and `1`,
 * padded strings): then the other table is joined and the database itself says which row belongs to which. Without
 * the join, PostgreSQL goes by the index of the foreign key; with it, it tends to read the whole table.
 */
function foreignKeyOf(key: readonly Column[], columns: readonly Column[]): Column[] | undefined {
  const ordered = key.flatMap(
    (part) => columns.find((column) => column.referencedColumn?.databaseName === part.databaseName) ?? [],
  )
  return ordered.length === columns.length && ordered.length === key.length && ordered.every(isComparedByText)
    ? ordered
    : undefined
}

function select(queryRunner: QueryRunner, { withDeleted }: Shape): Query {
  const query = queryRunner.manager
    .createQueryBuilder()
    .select([])
    // A cached answer (`cache: { alwaysEnabled: true }`) would be older than the change that we are asked to index.
    .cache(false)
    .setOption('disable-global-order')
  // Before any join: TypeORM writes its condition when the join is made.
  return withDeleted ? query.withDeleted() : query
}

function selectShape(queryRunner: QueryRunner, shape: Shape): Query {
  const query = select(queryRunner, shape).from(shape.metadata.target as string, shape.alias)
  addShape(query, shape)
  return query
}

function addShape(query: Query, { alias, columns, toOne }: Shape): void {
  for (const { column, name } of columns) {
    // By its path TypeORM adds what the type needs (geometry as GeoJSON, the query of a virtual column).
    if (column.isVirtual) query.addSelect(columnOf(query, alias, column), name)
    else query.addSelect(`${alias}.${column.propertyPath}`, name)
  }
  for (const { relation, shape } of toOne) {
    query.leftJoin(`${alias}.${relation.propertyPath}`, shape.alias)
    addShape(query, shape)
  }
}

function addKey(query: Query, alias: string, columns: readonly Column[], names: readonly string[]): void {
  columns.forEach((column, index) => query.addSelect(columnOf(query, alias, column), names[index]))
}

function orderByKey(query: Query, names: readonly string[]): void {
  for (const name of names) query.addOrderBy(query.escape(name), 'ASC')
}

function columnOf(query: Query, alias: string, column: Column): string {
  return `${query.escape(alias)}.${query.escape(column.databaseName)}`
}

async function readByKeys(
  { connection }: QueryRunner,
  keys: readonly KeyValues[],
  build: () => KeyedQuery,
): Promise<RawRow[]> {
  const arrays = connection.options.type === 'postgres' || connection.options.type === 'cockroachdb'
  const rows: RawRow[] = []
  let name: string | undefined
  try {
    for (let start = 0; start < keys.length;) {
      const keyed = build()
      const { columns } = keyed
      name = columns[0]?.entityMetadata.name
      const size = arrays && columns.length === 1 ? keys.length : Math.floor(maxValues / columns.length)
      const query = ofKeys(keyed, keys.slice(start, start + size), arrays)
      for (const row of await query.getRawMany<RawRow>()) rows.push(row)
      start += size
    }
  } catch (error) {
    throw readingFailed(name, error)
  }
  return rows
}

/** A query restricted to keys. */
export function ofKeys(
  { query, alias, columns }: KeyedQuery,
  keys: readonly KeyValues[],
  arrays: boolean,
): Query {
  const names = columns.map((column) => columnOf(query, alias, column))
  const { sql, parameters } = keyCondition(names, keys, arrays)
  return query.where(sql, parameters)
}

/** What a query that failed is reported as. */
export function readingFailed(entity: string | undefined, error: unknown): RedstreamError {
  const reason = error instanceof Error ? error.message : String(error)
  return new RedstreamError('DATABASE', `Reading rows of ${entity} failed: ${reason}`, { cause: error })
}
