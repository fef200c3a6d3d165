import type { EntityMetadata } from 'typeorm'

import type { Column } from '../capture/changes.ts'
import type { IndexDefinition } from '../indexed.ts'
import type { Relation, RelationNode } from '../sync/relation-tree.ts'
import { relationTree } from '../sync/relation-tree.ts'

/**
 * How a changed row leads to documents that embed it (or watch it).
 *
 * - `row`: through the row itself, as it is now.
 * - `former parent`: through the foreign key that a child had before it was moved or deleted; its row does not lead
 *   there any more.
 * - `junction`: through a row of a many-to-many table, whose key names both sides, also when it is gone.
 */
export type CascadeKind = 'row' | 'former parent' | 'junction'

/** One way from a changed table to the documents that hold its rows. */
export interface CascadePath {
  /** Unique among the paths of a DataSource, and the same in every process: cursors are kept under it. */
  readonly name: string
  readonly kind: CascadeKind
  /** Whose documents are indexed again. */
  readonly owner: IndexDefinition
  /** The table whose rows change; with table inheritance, its root. */
  readonly metadata: EntityMetadata
  /** The relation that is embedded or watched, by its way from the owner: `category.parent`. */
  readonly relation: string
  /** `relations`: embedded. `watch`: only watched. */
  readonly option: 'relations' | 'watch'
  /** What to join, from the owner on, to come to {@link at}. */
  readonly joins: readonly Relation[]
  /** Columns at the end of the joins (of the owner itself when there are none) … */
  readonly at: readonly Column[]
  /** … that must equal these columns of the changed row: of its key, or of what it was before (`former parent`). */
  readonly values: readonly Column[]
  /**
   * The columns of the changed table that matter, by their names in the database; undefined: all of them, because
   * functions of yours make the document, or the row may change in ways that nobody tells.
   */
  readonly columns: ReadonlySet<string> | undefined
}

/**
 * Every way from a change of some table to documents of some index, from `relations` and `watch` of the definitions.
 *
 * @throws RedstreamError ENTITY when a named relation does not exist
 */
export function cascadePaths(definitions: readonly IndexDefinition[]): CascadePath[] {
  const paths = new Map<string, CascadePath>()
  for (const owner of definitions) {
    for (const option of ['relations', 'watch'] as const) {
      for (const path of pathsBelow(owner, option, relationTree(owner, option), [])) {
        // Embedded and watched as well: it is embedded.
        if (!paths.has(path.name)) paths.set(path.name, path)
      }
    }
  }
  return [...paths.values()]
}

/** The entity that stands for a table: with table inheritance, the root of its classes. */
export function rootOf(metadata: EntityMetadata): EntityMetadata {
  return metadata.tableType === 'entity-child' ? metadata.parentEntityMetadata : metadata
}

function pathsBelow(
  owner: IndexDefinition,
  option: CascadePath['option'],
  nodes: readonly RelationNode[],
  way: readonly Relation[],
): CascadePath[] {
  return nodes.flatMap(({ relation, children }) => [
    ...pathsOf(owner, option, way, relation, children),
    ...pathsBelow(owner, option, children, [...way, relation]),
  ])
}

/** The paths for one place of the tree: its rows, and whatever ties them to the place above. */
function pathsOf(
  owner: IndexDefinition,
  option: CascadePath['option'],
  way: readonly Relation[],
  relation: Relation,
  children: readonly RelationNode[],
): CascadePath[] {
  const relationName = [...way, relation].map(({ propertyPath }) => propertyPath).join('.')
  const path = (
    kind: CascadeKind,
    rest: Pick<CascadePath, 'joins' | 'at' | 'values' | 'columns'> & { of: EntityMetadata },
  ) => {
    const { of, ...parts } = rest
    const name = `${owner.name} ${relationName} ${kind}`
    return { name, kind, owner, metadata: rootOf(of), relation: relationName, option, ...parts }
  }
  const target = relation.inverseEntityMetadata
  const key = target.primaryColumns
  const foreignKey = foreignKeyTo(key, relation)
  const columns = columnsThatMatter(owner, option, relation, children)
  const ofRow = path('row', {
    of: target,
    values: rootOf(target).primaryColumns,
    columns,
    // The foreign key says as much as the joined row, and spares the database the join.
    ...(foreignKey ? { joins: way, at: foreignKey } : { joins: [...way, relation], at: key }),
  })
  const tie = tieOf(relation)
  if (tie === undefined) return [ofRow]
  const { of, kind, values } = tie
  // A junction's row ties both of its sides, whichever of them changes.
  const tying = namesOf(kind === 'junction' ? of.primaryColumns : values)
  return [ofRow, path(kind, { of, values, joins: way, at: values.map(referencedBy), columns: tying })]
}

/** What else than a row of the owner's side holds the two together: a foreign key of the other side, or a junction. */
function tieOf(
  relation: Relation,
): { of: EntityMetadata; kind: CascadeKind; values: readonly Column[] } | undefined {
  const junction = relation.junctionEntityMetadata
  if (relation.isManyToMany && junction) {
    const values = relation.isOwning ? junction.ownerColumns : junction.inverseColumns
    return { of: junction, kind: 'junction', values }
  }
  const inverse = relation.inverseRelation
  if (relation.isOwning || !inverse) return undefined
  return { of: relation.inverseEntityMetadata, kind: 'former parent', values: inverse.joinColumns }
}

/** The foreign key of a relation in the order of the key that it refers to; undefined when it is elsewhere, or refers to other columns. */
function foreignKeyTo(key: readonly Column[], relation: Relation): Column[] | undefined {
  if (!relation.isOwning || relation.isManyToMany) return undefined
  const ordered = key.flatMap(
    (part) =>
      relation.joinColumns.find((column) => referencedBy(column).databaseName === part.databaseName) ?? [],
  )
  return ordered.length === key.length && ordered.length === relation.joinColumns.length ? ordered : undefined
}

function referencedBy(column: Column): Column {
  return column.referencedColumn ?? column
}

/**
 * The columns that the default document shows, and those that lead on to other rows. With functions of the user's own,
 * nobody knows which ones they read; and columns that change by themselves (the date of the update, a version, what
 * the database generates) make every update matter.
 */
function columnsThatMatter(
  { options }: IndexDefinition,
  option: CascadePath['option'],
  relation: Relation,
  children: readonly RelationNode[],
): ReadonlySet<string> | undefined {
  const own = options.document ?? options.when ?? options.id ?? options.routing
  if (own !== undefined || option === 'watch') return undefined
  const { columns } = relation.inverseEntityMetadata
  const shown = columns.filter((column) => column.isSelect && !column.isVirtual)
  if (shown.some((column) => column.isUpdateDate || column.isVersion || column.generatedType || column.query))
    return undefined
  // A soft-deleted row is not embedded, whether or not the column is selected.
  const { deleteDateColumn } = relation.inverseEntityMetadata
  const leading = [
    ...(deleteDateColumn ? [deleteDateColumn] : []),
    ...children.filter((child) => child.relation.isOwning).flatMap((child) => child.relation.joinColumns),
    ...(relation.inverseRelation?.joinColumns ?? []),
  ]
  return namesOf([...shown, ...leading])
}

function namesOf(columns: readonly Column[]): Set<string> {
  return new Set(columns.map(({ databaseName }) => databaseName))
}
