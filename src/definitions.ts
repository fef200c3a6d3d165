import type { DataSource, EntityMetadata, EntityTarget, ObjectLiteral } from 'typeorm'

import { RedstreamError } from './errors.ts'
import { checkIndexedOptions } from './indexed-check.ts'
import {
  indexedOptionsOf,
  type IndexDefinition,
  type IndexedOptions,
  type StreamDefinition,
} from './indexed.ts'
import { nameProblem } from './streams/keys.ts'

/**
 * The indices of a DataSource's entities: several for an entity with several `@Indexed`.
 *
 * @throws RedstreamError ENTITY when there is none, two share an index or a stream, or an option cannot be used
 */
export function resolveDefinitions(dataSource: DataSource): IndexDefinition[] {
  const definitions: IndexDefinition[] = []
  for (const metadata of dataSource.entityMetadatas) {
    for (const options of indexedOptionsOf(dataSource, metadata)) {
      const definition = resolveDefinition(dataSource, metadata, options)
      if (!definitions.some((other) => isTwin(definition, other))) definitions.push(definition)
    }
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
 * What the rows of an entity are indexed as; see {@link definitionsByMetadata}.
 *
 * @throws RedstreamError ENTITY when it is not part of the DataSource or not indexed
 */
export function definitionsOf<D extends StreamDefinition>(
  dataSource: DataSource,
  definitions: readonly D[],
  entity: EntityTarget<ObjectLiteral>,
): readonly D[] {
  if (!dataSource.hasMetadata(entity)) {
    throw new RedstreamError(
      'ENTITY',
      `${describeTarget(entity)} is not an entity of the DataSource; add it to its \`entities\``,
    )
  }
  const metadata = dataSource.getMetadata(entity)
  const concerned = definitions.filter((definition) => isConcerned(definition, metadata))
  if (concerned.length === 0) {
    throw new RedstreamError('ENTITY', `${metadata.name} is not indexed; put @Indexed() on it`)
  }
  return concerned
}

/** Which definitions a change of an entity may concern. */
export function definitionsByMetadata<D extends StreamDefinition>(
  dataSource: DataSource,
  definitions: readonly D[],
): Map<EntityMetadata, D[]> {
  const result = new Map<EntityMetadata, D[]>()
  for (const metadata of dataSource.entityMetadatas) {
    const concerned = definitions.filter((definition) => isConcerned(definition, metadata))
    if (concerned.length > 0) result.set(metadata, concerned)
  }
  return result
}

/**
 * Whether a row of this entity may have a document of the definition: its table is the same, and with table
 * inheritance so is its class, or one is the parent of the other (a plain object written through the parent's
 * repository carries the parent's metadata). An id that turns out to belong to another child is harmless: its row is
 * not found there.
 */
function isConcerned(definition: StreamDefinition, metadata: EntityMetadata): boolean {
  const indexed = definition.metadata
  if (indexed === metadata) return true
  if (indexed.tablePath !== metadata.tablePath) return false
  const children = indexed.tableType === 'entity-child' && metadata.tableType === 'entity-child'
  return !children || isAncestor(indexed, metadata) || isAncestor(metadata, indexed)
}

function isAncestor(parent: EntityMetadata, child: EntityMetadata): boolean {
  return child.inheritanceTree.includes(parent.target as never)
}

function resolveDefinition(
  dataSource: DataSource,
  metadata: EntityMetadata,
  options: IndexedOptions,
): IndexDefinition {
  checkIndexedOptions(metadata.name, options)
  const named = (part: 'index' | 'stream'): string | undefined => {
    const given = options[part]
    const name: unknown = typeof given === 'function' ? given(dataSource) : given
    if (name === undefined || typeof name === 'string') return name
    const what = name === null ? 'null' : typeof name
    throw new RedstreamError(
      'ENTITY',
      `@Indexed on ${metadata.name}: \`${part}\` must give a text, not ${what}`,
    )
  }
  const name = named('index') ?? metadata.tableName
  const stream = named('stream') ?? name
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

/** Whether one was declared twice: a module that two loaders run applies `@Indexed` to somebody else's class twice. */
function isTwin(one: IndexDefinition, other: IndexDefinition): boolean {
  const text = ({ options }: IndexDefinition): string =>
    JSON.stringify(options, (_, value: unknown) => (typeof value === 'function' ? String(value) : value))
  return one.metadata === other.metadata && one.name === other.name && text(one) === text(other)
}

function rejectShared(definitions: readonly IndexDefinition[], part: 'name' | 'stream'): void {
  const seen = new Map<string, IndexDefinition>()
  for (const definition of definitions) {
    const other = seen.get(definition[part])
    if (other !== undefined) {
      throw new RedstreamError('ENTITY', sharedName(other, definition, part))
    }
    seen.set(definition[part], definition)
  }
}

function sharedName(one: IndexDefinition, other: IndexDefinition, part: 'name' | 'stream'): string {
  const who =
    one.metadata === other.metadata
      ? `two @Indexed on ${one.metadata.name}`
      : `${one.metadata.name} and ${other.metadata.name}`
  return part === 'stream'
    ? `${who} have the same stream "${one.stream}"; give one of them its own`
    : `${who} have the same index "${one.name}", where their mappings would clash and rows with the same key would ` +
        'overwrite each other; give one of them its own (`index` in @Indexed)'
}

function describeTarget(target: EntityTarget<ObjectLiteral>): string {
  if (typeof target === 'function') return target.name
  if (typeof target === 'string') return target
  return 'options' in target ? target.options.name : target.name
}
