import type { EntityMetadata } from 'typeorm'

import type { Relation, RelationNode } from '../relation-tree.ts'

export type Column = EntityMetadata['columns'][number]

/**
 * One place of the relation tree, with what a query selects for it. The to-one relations below it are joined into
 * the same query; each to-many relation has a query of its own, whose root is the branch's shape.
 */
export interface Shape {
  readonly metadata: EntityMetadata
  /** The table's alias in the query. */
  readonly alias: string
  /** Selected columns with the names that they have in the raw rows. */
  readonly columns: readonly { readonly column: Column; readonly name: string }[]
  /** Raw names of the primary key: the identity of a row inside this shape. */
  readonly identity: readonly string[]
  /** Raw name of the discriminator, with table inheritance. */
  readonly discriminator: string | undefined
  /** Whether soft-deleted rows are read too, here and below. */
  readonly withDeleted: boolean
  readonly toOne: readonly Branch[]
  readonly toMany: readonly Branch[]
}

export interface Branch {
  readonly relation: Relation
  readonly shape: Shape
}

/** How rows of one class become entities: with table inheritance, one shape yields several classes. */
export interface Recipe {
  readonly metadata: EntityMetadata
  readonly columns: Shape['columns']
  readonly toOne: readonly Branch[]
  readonly toMany: readonly Branch[]
}

/** Plans the queries for an entity and the relations named for it. */
export function planShape(
  metadata: EntityMetadata,
  nodes: readonly RelationNode[],
  withDeleted: boolean,
): Shape {
  return shapeOf(metadata, nodes, { tables: 0, columns: 0, withDeleted })
}

// Short names of our own: TypeORM's are hashed when they pass the database's limit, and this hash is not public.
function shapeOf(
  metadata: EntityMetadata,
  nodes: readonly RelationNode[],
  used: { tables: number; columns: number; readonly withDeleted: boolean },
): Shape {
  const alias = `t${used.tables++}`
  const columns = metadata.columns.filter(isLoaded).map((column) => ({ column, name: `c${used.columns++}` }))
  const nameOf = (wanted: Column): string =>
    columns.find(({ column }) => column === wanted || column.databaseName === wanted.databaseName)?.name ?? ''
  return {
    metadata,
    alias,
    columns,
    identity: metadata.primaryColumns.map(nameOf),
    withDeleted: used.withDeleted,
    discriminator: metadata.discriminatorColumn && nameOf(metadata.discriminatorColumn),
    toOne: nodes
      .filter(({ relation }) => isToOne(relation))
      .map(({ relation, children }) => ({
        relation,
        shape: shapeOf(relation.inverseEntityMetadata, children, used),
      })),
    toMany: nodes
      .filter(({ relation }) => !isToOne(relation))
      .map(({ relation, children }) => ({
        relation,
        shape: planShape(relation.inverseEntityMetadata, children, used.withDeleted),
      })),
  }
}

/**
 * The recipe for rows whose discriminator has this value. Follows TypeORM's own hydration: the class is looked for
 * among the descendants, and columns and relations of other descendants are left out.
 */
export function recipeFor(shape: Shape, discriminator: unknown): Recipe {
  const metadata =
    (shape.discriminator !== undefined &&
      shape.metadata.childEntityMetadatas.find((child) => child.discriminatorValue === discriminator)) ||
    shape.metadata
  const names = new Map(shape.columns.map(({ column, name }) => [column.databaseName, name]))
  const foreign = new Set(metadata.childEntityMetadatas.map((child) => child.target))
  const has = ({ relation }: Branch): boolean => metadata.hasRelationWithPropertyPath(relation.propertyPath)
  return {
    metadata,
    columns: metadata.columns.flatMap((column) => {
      const name = names.get(column.databaseName)
      return name === undefined || column.isVirtual || foreign.has(column.target) ? [] : [{ column, name }]
    }),
    toOne: shape.toOne.filter(has),
    toMany: shape.toMany.filter(has),
  }
}

/** Virtual columns (foreign keys without a property) are needed only where they tell which row, or which class, it is. */
function isLoaded(column: Column): boolean {
  return column.isPrimary || column.isDiscriminator || (column.isSelect && !column.isVirtual)
}

function isToOne(relation: Relation): boolean {
  return relation.isManyToOne || relation.isOneToOne
}
