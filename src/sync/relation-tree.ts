import { closest } from 'fastest-levenshtein'
import type { EntityMetadata } from 'typeorm'

import { RedstreamError } from '../errors.ts'
import type { IndexDefinition } from '../indexed.ts'

export type Relation = EntityMetadata['relations'][number]

/** A relation that a definition names, and the relations named below it. */
export interface RelationNode {
  readonly relation: Relation
  readonly children: readonly RelationNode[]
}

/**
 * The `relations` (or what it only watches) of a definition as a tree of TypeORM's metadata. A relation inside an
 * embedded entity is a child of the entity that embeds it.
 *
 * @throws RedstreamError ENTITY when a named relation does not exist
 */
export function relationTree(
  definition: IndexDefinition,
  option: 'relations' | 'watch' = 'relations',
): RelationNode[] {
  const { metadata, options } = definition
  const named: unknown = options[option]
  return named === undefined
    ? []
    : nodesOf(named, metadata, '', { entity: metadata.name, option, path: '', within: [] })
}

/**
 * Checks that every relation which a definition names exists, and that its rows have a key to be read by.
 *
 * @throws RedstreamError ENTITY naming the entity, the path and what exists
 */
export function checkRelations(definition: IndexDefinition): void {
  if (definition.metadata.primaryColumns.length === 0)
    throw new RedstreamError(
      'ENTITY',
      `${definition.metadata.name} has no primary key, so its rows cannot be kept in an index: add a @PrimaryColumn`,
    )
  relationTree(definition)
  relationTree(definition, 'watch')
}

/** Where in the user's `relations` or `watch` we are, for messages. */
interface Place {
  readonly entity: string
  readonly option: 'relations' | 'watch'
  readonly path: string
  /** The objects that this one is part of: one of them again would never end. */
  readonly within: readonly object[]
}

function nodesOf(named: unknown, metadata: EntityMetadata, prefix: string, place: Place): RelationNode[] {
  if (named === true) return []
  if (typeof named !== 'object' || named === null || Array.isArray(named)) throw wrongShape(place)
  if (place.within.includes(named)) throw endless(place)
  return Object.entries(named).flatMap(([name, below]: [string, unknown]) => {
    if (below === false || below === undefined) return []
    const path = prefix + name
    const here: Place = {
      ...place,
      path: place.path === '' ? name : `${place.path}.${name}`,
      within: [...place.within, named],
    }
    const relation = metadata.findRelationWithPropertyPath(path)
    if (relation) return [{ relation, children: nodesOf(below, relation.inverseEntityMetadata, '', here) }]
    if (metadata.hasEmbeddedWithPropertyPath(path)) {
      if (below === true) throw unknownRelation(metadata, path, here)
      return nodesOf(below, metadata, `${path}.`, here)
    }
    throw unknownRelation(metadata, path, here)
  })
}

function wrongShape({ entity, option, path }: Place): RedstreamError {
  return new RedstreamError(
    'ENTITY',
    `@Indexed on ${entity}: \`${option}\`${path === '' ? '' : ` at "${path}"`} must be an object as in ` +
      '{ country: true }, with true or a further object for each relation',
  )
}

function endless({ entity, option, path }: Place): RedstreamError {
  return new RedstreamError(
    'ENTITY',
    `@Indexed on ${entity}: \`${option}\` has no end, because what is at "${path}" contains itself; ` +
      'write out as many levels as the document needs',
  )
}

function unknownRelation(metadata: EntityMetadata, path: string, place: Place): RedstreamError {
  const existing = metadata.relations.map((relation) => relation.propertyPath)
  const meant = existing.length === 0 ? undefined : closest(path, existing)
  return new RedstreamError(
    'ENTITY',
    `@Indexed on ${place.entity}: "${place.path}" is no relation, because ${metadata.name} has ` +
      (meant === undefined
        ? 'no relations at all'
        : `no relation "${path}". Did you mean "${meant}"? It has: ${existing.join(', ')}`),
  )
}
