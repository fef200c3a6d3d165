import type { DataSource, EntityMetadata, EntityTarget, ObjectLiteral } from 'typeorm'

import { RedstreamError } from './errors.ts'
import { indexedOptions, type IndexDefinition, type IndexedOptions } from './indexed.ts'
import { nameProblem } from './streams/keys.ts'

/**
 * The indexed entities of a DataSource.
 *
 * @throws RedstreamError ENTITY when there is none, two share an index or a stream, or a name cannot be used
 */
export function resolveDefinitions(dataSource: DataSource): IndexDefinition[] {
  const definitions: IndexDefinition[] = []
  for (const metadata of dataSource.entityMetadatas) {
    const options = indexedOptions(metadata.target)
    if (options !== undefined && !metadata.isJunction) definitions.push(resolveDefinition(metadata, options))
  }
  if (definitions.length === 0) {
    throw new RedstreamError(
      'ENTITY',
      `none of the ${dataSource.entityMetadatas.length} entities of the DataSource is indexed; ` +
        'put @Indexed() on those that belong into Elasticsearch, and list them in the DataSource’s `entities`',
    )
  }
  for (const part of ['name', 'stream'] as const) rejectShared(definitions, part)
  return definitions
}

/**
 * The definition of an entity.
 *
 * @throws RedstreamError ENTITY when it is not part of the DataSource or not indexed
 */
export function definitionOf(
  dataSource: DataSource,
  definitions: readonly IndexDefinition[],
  entity: EntityTarget<ObjectLiteral>,
): IndexDefinition {
  if (!dataSource.hasMetadata(entity)) {
    throw new RedstreamError(
      'ENTITY',
      `${describeTarget(entity)} is not an entity of the DataSource; add it to its \`entities\``,
    )
  }
  const metadata = dataSource.getMetadata(entity)
  const definition = definitions.find((candidate) => candidate.metadata === metadata)
  if (definition === undefined) {
    throw new RedstreamError('ENTITY', `${metadata.name} is not indexed; put @Indexed() on it`)
  }
  return definition
}

/**
 * Which definitions a change of a table may concern: those of the entity itself, of its parents, and of children in
 * the same table (a plain object written through the parent's repository carries the parent's metadata). An id that
 * turns out to belong to another child is harmless: its row is not found there.
 */
export function definitionsByMetadata(
  dataSource: DataSource,
  definitions: readonly IndexDefinition[],
): Map<EntityMetadata, IndexDefinition[]> {
  const result = new Map<EntityMetadata, IndexDefinition[]>()
  for (const metadata of dataSource.entityMetadatas) {
    const concerned = definitions.filter(
      (definition) =>
        definition.metadata === metadata ||
        metadata.inheritanceTree.includes(definition.metadata.target as never) ||
        (metadata.childEntityMetadatas.includes(definition.metadata) &&
          definition.metadata.tablePath === metadata.tablePath),
    )
    if (concerned.length > 0) result.set(metadata, concerned)
  }
  return result
}

function resolveDefinition(metadata: EntityMetadata, options: IndexedOptions): IndexDefinition {
  const name = options.index ?? metadata.tableName
  const stream = options.stream ?? name
  const partitions = options.partitions ?? 1
  const problem = nameProblem(stream)
  if (problem !== undefined) {
    throw new RedstreamError('ENTITY', `${metadata.name}: the stream name "${stream}" ${problem}`)
  }
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > 1_024) {
    throw new RedstreamError(
      'ENTITY',
      `${metadata.name}: partitions must be a whole number from 1 to 1024, not ${partitions}`,
    )
  }
  return { name, stream, partitions, metadata, options }
}

function rejectShared(definitions: readonly IndexDefinition[], part: 'name' | 'stream'): void {
  const seen = new Map<string, IndexDefinition>()
  for (const definition of definitions) {
    const other = seen.get(definition[part])
    if (other !== undefined) {
      const what = part === 'name' ? 'index' : 'stream'
      throw new RedstreamError(
        'ENTITY',
        `${other.metadata.name} and ${definition.metadata.name} have the same ${what} "${definition[part]}"; give one of them its own`,
      )
    }
    seen.set(definition[part], definition)
  }
}

function describeTarget(target: EntityTarget<ObjectLiteral>): string {
  if (typeof target === 'function') return target.name
  if (typeof target === 'string') return target
  return 'options' in target ? target.options.name : target.name
}
