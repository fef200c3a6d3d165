import type { EntityMetadata } from 'typeorm'

import type { IndexDefinition } from '../indexed.ts'
import { type RelationNode, relationTree } from './relation-tree.ts'

/**
 * Why the functions of `@Indexed` failed for a row, in words for its dead letter. Who reads a relation that is not
 * loaded gets an error of JavaScript which names neither the relation nor the option, so they are added.
 */
export function failureReason(error: unknown, definition: IndexDefinition): string {
  if (!(error instanceof Error)) return String(error)
  // The text decides about a hint alone. A relation that is loaded and has no row is null, not undefined.
  if (error.name !== 'TypeError' || !error.message.includes('undefined')) return error.message
  const names = unloaded(definition.metadata, relationTree(definition), '')
  if (names.length === 0) return error.message
  return (
    `${error.message}. Not loaded are the relations ${names.join(', ')}: if one of them is read, ` +
    `name it in \`relations\` of @Indexed on ${definition.metadata.name}`
  )
}

/** Paths of the relations that are not loaded, next to what is. */
function unloaded(metadata: EntityMetadata, loaded: readonly RelationNode[], prefix: string): string[] {
  const nodes = new Map(loaded.map((node) => [node.relation, node]))
  const here = metadata.relations.filter((relation) => !nodes.has(relation))
  return [
    ...here.map(({ propertyPath }) => prefix + propertyPath),
    ...[...nodes].flatMap(([{ inverseEntityMetadata, propertyPath }, { children }]) =>
      unloaded(inverseEntityMetadata, children, `${prefix}${propertyPath}.`),
    ),
  ]
}
