import type { Client, estypes } from '@elastic/elasticsearch'

import { RedstreamError } from '../errors.ts'
import type { IndexDefinition } from '../indexed.ts'
import { checkIndexName, definitionHash, physicalIndexName, writeAliasOf } from './index-names.ts'
import { deriveSettings } from './index-settings.ts'
import { readLiveIndex, type LiveIndex } from './index-state.ts'
import { refuseChangedTypes, updateIndex } from './index-update.ts'
import { deriveMappings } from './mapping.ts'
import { describeRefusedDefinition, type DeclaredIndex } from './refused-definition.ts'

/** What {@link initIndex} found and did. */
export interface IndexInit {
  /** The alias that applications search. */
  name: string
  /** The index behind it. */
  physical: string
  action: 'created' | 'unchanged' | 'updated'
  /** One sentence for each change that was made in place; empty unless `updated`. */
  changes: string[]
}

/** What {@link initIndexes} found and did, in the order of the definitions. */
export type InitReport = IndexInit[]

/** Settings of the workers that an index must fit. */
export interface InitOptions {
  /** The setting `ticketMaxAge` in milliseconds; default 10 minutes. */
  ticketMaxAgeMs?: number
}

/**
 * Makes the indices of the given entities, or brings them up to date. Everything that can be known to be wrong without
 * a change is refused before the first change.
 *
 * @throws RedstreamError as {@link initIndex}
 */
export async function initIndexes(
  client: Client,
  definitions: readonly IndexDefinition[],
  options: InitOptions = {},
): Promise<InitReport> {
  for (const definition of definitions) {
    const declared = declareIndex(definition, options)
    const live = await readLiveIndex(client, definition)
    if (live) refuseChangedTypes(definition, live, declared)
  }
  const report: InitReport = []
  for (const definition of definitions) report.push(await initIndex(client, definition, options))
  return report
}

/**
 * Makes the index of an entity with its alias, or adds to the existing one what was declared since. May run any number
 * of times, also in several processes at once.
 *
 * @throws RedstreamError ENTITY (name, relations or settings that cannot work), INDEX (the name is taken by something
 * else, or a declared change needs a new index), ELASTICSEARCH (mapping or settings refused),
 * ELASTICSEARCH_UNAVAILABLE
 */
export async function initIndex(
  client: Client,
  definition: IndexDefinition,
  options: InitOptions = {},
): Promise<IndexInit> {
  const declared = declareIndex(definition, options)
  const live = await readLiveIndex(client, definition)
  if (live) return await bringUpToDate(client, definition, live, declared)
  try {
    const physical = await createIndex(client, definition, declared)
    return { name: definition.name, physical, action: 'created', changes: [] }
  } catch (error) {
    // Two processes: the alias takes one write index only, so the creation of the slower one fails as a whole.
    const winner = await readLiveIndex(client, definition)
    if (winner) return await bringUpToDate(client, definition, winner, declared)
    throw await describeRefusedDefinition(client, definition, declared, error)
  }
}

/**
 * The write aliases of the physical indices behind an entity's search alias: the targets to write to when Redis has
 * lost its list of them.
 *
 * @throws RedstreamError INDEX when the alias is not there, or as {@link initIndex}
 */
export async function currentTargets(client: Client, definition: IndexDefinition): Promise<string[]> {
  const live = await readLiveIndex(client, definition)
  if (live) return [writeAliasOf(live.physical)]
  throw new RedstreamError(
    'INDEX',
    `The index "${definition.name}" of entity ${definition.metadata.name} does not exist. Run \`redstream init\`.`,
  )
}

/**
 * What an entity's index is declared to be.
 *
 * @throws RedstreamError ENTITY (name, relations or settings that cannot work)
 */
export function declareIndex(
  definition: IndexDefinition,
  { ticketMaxAgeMs }: InitOptions = {},
): DeclaredIndex {
  checkIndexName(definition.name, definition.metadata.name)
  return { mappings: deriveMappings(definition), settings: deriveSettings(definition, ticketMaxAgeMs) }
}

/**
 * Makes an index for an entity. All of it is one request, so that nothing is left behind when it fails.
 *
 * `is_write_index` on the search alias is what makes two processes safe: Elasticsearch refuses a second write index.
 */
async function createIndex(
  client: Client,
  definition: IndexDefinition,
  { mappings, settings }: DeclaredIndex,
): Promise<string> {
  const physical = physicalIndexName(definition.name, new Date(), definitionHash(mappings, settings))
  await client.indices.create({
    index: physical,
    aliases: {
      [definition.name]: { is_write_index: true },
      [writeAliasOf(physical)]: { is_write_index: true, is_hidden: true },
    },
    mappings: mappings as estypes.MappingTypeMapping,
    settings,
  })
  return physical
}

async function bringUpToDate(
  client: Client,
  definition: IndexDefinition,
  live: LiveIndex,
  declared: DeclaredIndex,
): Promise<IndexInit> {
  const changes = await updateIndex(client, definition, live, declared)
  const action = changes.length > 0 ? 'updated' : 'unchanged'
  return { name: definition.name, physical: live.physical, action, changes }
}
