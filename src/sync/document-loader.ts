import type { DataSource, ObjectLiteral, QueryRunner } from 'typeorm'

import type { KeyValues } from '../capture/key-condition.ts'
import type { RowKey } from '../capture/row-key.ts'
import { isRedstreamError } from '../errors.ts'
import { sqlStateOf } from '../sql-state.ts'
import type { IndexDefinition } from '../indexed.ts'
import { afterLoad } from './loading/after-load.ts'
import { Hydration, identityOf, type Loaded, setRelation } from './loading/hydration.ts'
import { keyOfValues, valuesOfKey } from './loading/key-values.ts'
import { type Branch, planShape, type Shape } from './loading/load-plan.ts'
import { parentNames, readChildren, readPairs, readRows, targetNames } from './loading/queries.ts'
import { relationTree } from './relation-tree.ts'

/** What {@link loadRows} found. A key in neither map has no row (or a soft-deleted one, without `withDeleted`). */
export interface LoadedRows<E extends ObjectLiteral = ObjectLiteral> {
  /**
   * By the key that the row has in the database. Where the database takes several texts for the same value (a
   * collation that ignores case), this may be another one than was asked for: index every row of the map, and delete
   * the asked keys that are not in it.
   */
  readonly rows: Map<RowKey, E>
  /** Keys that are no value of their column, and rows that cannot be turned into entities. */
  readonly invalid: Map<RowKey, Error>
}

/**
 * Reads rows by their keys, with the relations that the definition names, from the primary database (never a
 * replica): one query for the rows with their to-one relations joined, and for each to-many relation one query (two
 * if it is many-to-many) for the whole batch, at any depth. Shared targets are the same object. `eager` relations are
 * loaded only if named, soft-deleted rows and targets only with `withDeleted`.
 *
 * @throws RedstreamError DATABASE when the database cannot be reached or refuses a query; ENTITY when a relation does
 *   not exist
 */
export async function loadRows<E extends ObjectLiteral>(
  definition: IndexDefinition<E>,
  keys: Iterable<RowKey>,
  dataSource: DataSource,
): Promise<LoadedRows<E>> {
  const shape = shapeOf(definition as unknown as IndexDefinition)
  const result: LoadedRows<E> = { rows: new Map(), invalid: new Map() }
  const wanted: [RowKey, KeyValues][] = []
  for (const key of new Set(keys)) {
    try {
      wanted.push([key, valuesOfKey(shape.metadata, key, dataSource.driver)])
    } catch (error) {
      result.invalid.set(key, asError(error))
    }
  }
  if (wanted.length === 0) return result
  const queryRunner = dataSource.createQueryRunner('master')
  try {
    await loadHalving(queryRunner, shape, wanted, result)
  } finally {
    await queryRunner.release()
  }
  return result
}

const shapes = new WeakMap<IndexDefinition, Shape>()

/** What is read for a definition. */
export function shapeOf(definition: IndexDefinition): Shape {
  let shape = shapes.get(definition)
  if (!shape) {
    const { metadata, options } = definition
    shape = planShape(metadata, relationTree(definition), options.withDeleted === true)
    shapes.set(definition, shape)
  }
  return shape
}

type Wanted = readonly (readonly [RowKey, KeyValues])[]

/** One bad key or row must not hold up its neighbours: if the batch fails through its data, its halves are tried. */
async function loadHalving(
  queryRunner: QueryRunner,
  shape: Shape,
  wanted: Wanted,
  result: LoadedRows,
): Promise<void> {
  try {
    await loadBatch(queryRunner, shape, wanted, result.rows)
  } catch (error) {
    if (!isFaultOfData(error)) throw error
    const [only] = wanted
    if (only && wanted.length === 1) {
      result.invalid.set(only[0], asError(error))
      return
    }
    const middle = wanted.length >> 1
    await loadHalving(queryRunner, shape, wanted.slice(0, middle), result)
    await loadHalving(queryRunner, shape, wanted.slice(middle), result)
  }
}

/**
 * True for errors that this row causes and another may not: what is no value of the column's type (SQLSTATE class 22,
 * data exception), and whatever a transformer or an `afterLoad` listener throws.
 */
export function isFaultOfData(error: unknown): boolean {
  if (!isRedstreamError(error) || error.code !== 'DATABASE') return true
  return sqlStateOf(error)?.startsWith('22') === true
}

/** Adds to `rows` when all of them are loaded. */
async function loadBatch(
  queryRunner: QueryRunner,
  shape: Shape,
  wanted: Wanted,
  rows: Map<RowKey, ObjectLiteral>,
): Promise<void> {
  const { driver } = queryRunner.connection
  const hydration = new Hydration(driver)
  const keys = wanted.map(([, values]) => values)
  for (const row of await readRows(queryRunner, shape, keys)) hydration.entity(shape, row)
  await loadBranches(queryRunner, hydration, shape)
  await afterLoad(queryRunner, hydration)
  const loaded = Array.from(
    hydration.loaded(shape).values(),
    ({ entity, key }) => [keyOfValues(shape.metadata, key, driver), entity] as const,
  )
  for (const [key, entity] of loaded) rows.set(key, entity)
}

/** Loads the to-many relations of everything that the last query brought, and then theirs. */
async function loadBranches(queryRunner: QueryRunner, hydration: Hydration, shape: Shape): Promise<void> {
  for (const branch of shape.toOne) await loadBranches(queryRunner, hydration, branch.shape)
  for (const branch of shape.toMany) {
    const parents = new Map(
      [...hydration.loaded(shape)].filter(([, { recipe }]) => recipe.toMany.includes(branch)),
    )
    if (parents.size === 0) continue
    const lists = branch.relation.isManyToMany
      ? await loadTargets(queryRunner, hydration, branch, parents)
      : await loadChildren(queryRunner, hydration, branch, parents)
    for (const [identity, { entity }] of parents) setRelation(entity, branch, lists.get(identity) ?? [])
    await loadBranches(queryRunner, hydration, branch.shape)
  }
}

type Parents = ReadonlyMap<string, Loaded>
/** What each parent's relation holds, by the parent's identity. */
type Lists = Map<string, ObjectLiteral[]>

async function loadChildren(
  queryRunner: QueryRunner,
  hydration: Hydration,
  branch: Branch,
  parents: Parents,
): Promise<Lists> {
  const names = parentNames(branch.relation.entityMetadata.primaryColumns)
  const lists: Lists = new Map()
  for (const row of await readChildren(queryRunner, branch, keysOf(parents)))
    append(lists, identityOf(row, names), hydration.entity(branch.shape, row))
  return lists
}

async function loadTargets(
  queryRunner: QueryRunner,
  hydration: Hydration,
  branch: Branch,
  parents: Parents,
): Promise<Lists> {
  const { shape, relation } = branch
  const fromNames = parentNames(relation.entityMetadata.primaryColumns)
  const toNames = targetNames(shape.metadata.primaryColumns)
  const pairs = await readPairs(queryRunner, branch, keysOf(parents))
  const targets = new Map(pairs.map((row) => [identityOf(row, toNames), toNames.map((name) => row[name])]))
  if (targets.size > 0)
    for (const row of await readRows(queryRunner, shape, [...targets.values()])) hydration.entity(shape, row)
  const loaded = hydration.loaded(shape)
  const lists: Lists = new Map()
  for (const row of pairs)
    append(lists, identityOf(row, fromNames), loaded.get(identityOf(row, toNames) ?? '')?.entity ?? null)
  return lists
}

function keysOf(parents: Parents): KeyValues[] {
  return Array.from(parents.values(), ({ key }) => key)
}

/** Rows come ordered by the child, so that a pair which is twice in a junction table without a key follows itself. */
function append(lists: Lists, parent: string | undefined, child: ObjectLiteral | null): void {
  if (parent === undefined || child === null) return
  const list = lists.get(parent)
  if (!list) lists.set(parent, [child])
  else if (list.at(-1) !== child) list.push(child)
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
