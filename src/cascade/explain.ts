import { closest } from 'fastest-levenshtein'
import type { EntityMetadata } from 'typeorm'

import { RedstreamError } from '../errors.ts'
import type { IndexDefinition } from '../indexed.ts'
import { cascadePaths, type CascadePath } from './paths.ts'

/** A path as `redstream explain cascade NAME --json` prints it. */
export interface ExplainedPath {
  /** The table whose rows change. */
  table: string
  /** Its entity; null for the junction table of a many-to-many relation. */
  entity: string | null
  /** The relation of the owner that holds it: `category.parent`. */
  relation: string
  kind: CascadePath['kind']
  option: CascadePath['option']
  /** Columns whose change matters; null: every column. */
  columns: string[] | null
  /** The index whose documents are written again. */
  index: string
  /** The tables that are joined to find them, the index's own first. */
  joins: string[]
  /** The condition at the end of the joins: a column, and where its value comes from. */
  where: { column: string; from: string }[]
}

/**
 * The paths that lead to the documents of an index, or begin at a table.
 *
 * @param name - of an index, an entity or a table
 * @throws RedstreamError USAGE when there is nothing of that name
 */
export function pathsNamed(definitions: readonly IndexDefinition[], name: string): CascadePath[] {
  const paths = cascadePaths(definitions)
  const namesOf = ({ name: entity, tableName }: EntityMetadata): string[] => [entity, tableName]
  const known = new Set([
    ...definitions.flatMap((definition) => [definition.name, ...namesOf(definition.metadata)]),
    ...paths.flatMap(({ metadata }) => namesOf(metadata)),
  ])
  if (!known.has(name)) {
    throw new RedstreamError(
      'USAGE',
      `there is no index, entity or table "${name}" of which something is to be told; did you mean ` +
        `"${closest(name, [...known])}"? There are: ${[...known].join(', ')}`,
    )
  }
  return paths.filter(
    ({ owner, metadata }) =>
      owner.name === name || [...namesOf(owner.metadata), ...namesOf(metadata)].includes(name),
  )
}

/** The paths for {@link formatPaths}, and for `--json`. */
export function explainPaths(paths: readonly CascadePath[]): ExplainedPath[] {
  return paths.map(({ metadata, relation, kind, option, columns, owner, joins, at, values }) => ({
    table: metadata.tablePath,
    entity: metadata.isJunction ? null : metadata.name,
    relation,
    kind,
    option,
    columns: columns === undefined ? null : [...columns],
    index: owner.name,
    joins: [owner.metadata, ...joins.map((join) => join.inverseEntityMetadata)].map(tableOf),
    where: at.map((column, index) => ({
      column: `${tableOf(column.entityMetadata)}.${column.databaseName}`,
      from: `${tableOf(metadata)}.${values[index]!.databaseName}`,
    })),
  }))
}

/** The paths for people: a paragraph for each table, a line for each change. */
export function formatPaths(paths: readonly ExplainedPath[]): string {
  if (paths.length === 0) return 'No other documents are concerned.\n'
  const tables = Map.groupBy(paths, ({ table }) => table)
  return [...tables]
    .map(([table, ofTable]) => {
      const { entity } = ofTable[0]!
      const title = entity === null ? `${table} (junction table)` : `${entity} (${table})`
      return [title, ...ofTable.flatMap(linesOf)].map((line) => `${line}\n`).join('')
    })
    .join('\n')
}

const changes: Readonly<Record<CascadePath['kind'], string>> = {
  row: 'a changed row',
  'former parent': 'a row that is moved away or deleted',
  junction: 'a row that is added or deleted',
}

function linesOf({ kind, option, columns, relation, index, joins, where }: ExplainedPath): string[] {
  const what = kind === 'row' ? ` (${columns === null ? 'any column' : columns.join(', ')})` : ''
  const conditions = where.map(
    ({ column, from }) => `${column} = ${kind === 'former parent' ? 'the old ' : ''}${from}`,
  )
  return [
    `  ${changes[kind]}${what}`,
    `    indexes again: documents of ${index} that ${option === 'watch' ? 'watch' : 'embed'} it as ${relation}`,
    `    found by: ${joins.join(' ⋈ ')} where ${conditions.join(' and ')}`,
  ]
}

function tableOf({ tableName }: EntityMetadata): string {
  return tableName
}
