import type { EntityMetadata } from 'typeorm'

import { RedstreamError } from '../errors.ts'
import type { IndexDefinition, Mappings } from '../indexed.ts'
import { keyField } from '../place.ts'
import { isRecord } from './canonical-json.ts'
import { columnField } from './column-field.ts'
import type { Field } from './column-field.ts'

/** Relations as `find({ relations })` takes them. */
type RelationTree = Record<string, unknown>

interface RelationTarget {
  path: string
  target: EntityMetadata
  below: RelationTree
}

/**
 * The mappings of an entity's index: every column that is loaded by default (not `select: false`) and every relation
 * named in `relations`, under the property names that the entity has, and the user's `mappings` over them.
 *
 * A field that the user gives replaces the derived one when its `type` is another, else its parameters are merged into
 * it; `nested` in place of the `object` of a relation keeps the derived fields below. With an `id` of its own, a
 * document has the row's key in a further field.
 *
 * @throws RedstreamError ENTITY when `relations` names one that does not exist
 */
export function deriveMappings(definition: IndexDefinition): Mappings {
  const { metadata, options } = definition
  const derived = entityProperties(metadata, options.relations ?? {})
  if (options.id !== undefined) derived[keyField] = { type: 'keyword' }
  const { properties, ...rest } = options.mappings ?? {}
  // Without `subobjects` a dot is a letter of the name, with it (the default) `a.b` is the field b of the object a.
  const given = rest['subobjects'] === false ? (properties ?? {}) : expandDots(properties ?? {})
  return { ...rest, properties: mergeProperties(derived, given) }
}

function entityProperties(metadata: EntityMetadata, relations: RelationTree): Record<string, unknown> {
  const properties: Record<string, unknown> = {}
  // oxlint-disable-next-line typescript/no-deprecated -- `dataSource` is not there in TypeORM 0.3
  const driver = metadata.connection.options.type
  // Virtual columns (a foreign key, a discriminator) have no property of their own in the entity.
  const columns = metadata.columns.filter((column) => column.isSelect && !column.isVirtual)
  for (const column of columns) place(properties, column.propertyPath, columnField(column, driver))
  for (const { path, target, below } of relationTargets(metadata, relations)) {
    place(properties, path, { type: 'object', properties: entityProperties(target, below) })
  }
  return properties
}

/** The named relations of one entity, with the entity they lead to and what is named below them. */
function relationTargets(metadata: EntityMetadata, relations: RelationTree, prefix = ''): RelationTarget[] {
  return Object.entries(relations).flatMap(([name, value]): RelationTarget[] => {
    if (value === false || value === undefined || value === null) return []
    const path = prefix + name
    const below = isRecord(value) ? value : {}
    const relation = metadata.findRelationWithPropertyPath(path)
    if (relation) return [{ path, target: relation.inverseEntityMetadata, below }]
    if (metadata.findEmbeddedWithPropertyPath(path)) return relationTargets(metadata, below, `${path}.`)
    const known = metadata.relations.map((each) => each.propertyPath).join(', ') || 'none'
    throw new RedstreamError(
      'ENTITY',
      `Entity ${metadata.name} has no relation "${path}", which the relations of @Indexed name. It has: ${known}.`,
    )
  })
}

/** Puts a field at a path such as `address.street`; the objects on the way are made. */
function place(properties: Record<string, unknown>, path: string, field: Field): void {
  const names = path.split('.')
  const last = names.pop() ?? path
  let level = properties
  for (const name of names) {
    const object = (level[name] ??= { type: 'object', properties: {} }) as {
      properties: Record<string, unknown>
    }
    level = object.properties
  }
  level[last] = field
}

function expandDots(properties: Record<string, unknown>): Record<string, unknown> {
  const expanded: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(properties)) {
    const [first = name, ...rest] = name.split('.')
    const inner =
      rest.length > 0 ? { properties: expandDots({ [rest.join('.')]: field }) } : expandField(field)
    expanded[first] = first in expanded ? mergeField(expanded[first], inner) : inner
  }
  return expanded
}

function expandField(field: unknown): unknown {
  if (!isRecord(field) || !isRecord(field['properties']) || field['subobjects'] === false) return field
  return { ...field, properties: expandDots(field['properties']) }
}

function mergeProperties(
  derived: Record<string, unknown>,
  given: Record<string, unknown>,
): Record<string, unknown> {
  const merged = { ...derived }
  for (const [name, field] of Object.entries(given)) {
    merged[name] = name in derived ? mergeField(derived[name], field) : field
  }
  return merged
}

function mergeField(derived: unknown, given: unknown): unknown {
  if (!isRecord(derived) || !isRecord(given) || replaces(derived, given)) return given
  const merged: Field = { ...derived, ...given }
  for (const key of ['properties', 'fields']) {
    const [below, above] = [derived[key], given[key]]
    if (isRecord(below) && isRecord(above)) merged[key] = mergeProperties(below, above)
  }
  return merged
}

function replaces(derived: Field, given: Field): boolean {
  const givenType = given['type'] ?? (given['properties'] ? 'object' : undefined)
  // Objects that are not looked into have no fields to merge with.
  if (derived['enabled'] === false) return givenType !== undefined
  if (given['enabled'] === false) return true
  const containers: unknown[] = ['object', 'nested']
  const derivedType = derived['type'] ?? 'object'
  if (givenType === undefined || givenType === derivedType) return false
  return !(containers.includes(derivedType) && containers.includes(givenType))
}
