import type { Client, estypes } from '@elastic/elasticsearch'

import { RedstreamError } from '../errors.ts'
import type { IndexDefinition, Mappings } from '../indexed.ts'
import { valueText } from './canonical-json.ts'
import { elasticsearchAddress } from './elasticsearch-connection.ts'
import { describeElasticsearchError, refusalOf, statusOf } from './elasticsearch-error.ts'
import type { FlatSettings } from './index-settings.ts'
import type { LiveIndex } from './index-state.ts'
import type { DeclaredIndex } from './refused-definition.ts'
import {
  compareMappings,
  compareSettings,
  describeDifference,
  describeSettings,
} from './schema-difference.ts'

/**
 * Brings a live index up to what was declared, as far as Elasticsearch can do so in place.
 *
 * @returns one sentence for each change that was made
 * @throws RedstreamError INDEX when a declared change needs a new index
 */
export async function updateIndex(
  client: Client,
  definition: IndexDefinition,
  live: LiveIndex,
  declared: DeclaredIndex,
): Promise<string[]> {
  refuseChangedTypes(definition, live, declared)
  return [
    // First the settings: new fields may need a higher mapping.total_fields.limit.
    ...(await updateSettings(client, definition, live, declared.settings)),
    ...(await updateMappings(client, definition, live, declared.mappings)),
  ]
}

/** @throws RedstreamError INDEX naming each field whose type was changed */
export function refuseChangedTypes(
  definition: IndexDefinition,
  live: LiveIndex,
  declared: DeclaredIndex,
): void {
  const { changed } = compareMappings(live.mappings, declared.mappings)
  const types = changed.filter((each) => each.parameter === 'type')
  if (types.length === 0) return
  const list = types.map(
    (each) => `"${each.field}" is ${valueText(each.live)}, declared ${valueText(each.declared)}`,
  )
  throw new RedstreamError(
    'INDEX',
    `Index "${definition.name}" of entity ${definition.metadata.name}: Elasticsearch cannot change the type of a field ` +
      `in place: ${list.join('; ')}. ${newIndexNeeded(definition)}`,
  )
}

async function updateSettings(
  client: Client,
  definition: IndexDefinition,
  live: LiveIndex,
  declared: FlatSettings,
): Promise<string[]> {
  const differing = compareSettings(live.settings, declared)
  if (differing.length === 0) return []
  const changes = describeSettings(differing)
  const settings = Object.fromEntries(differing.map((each) => [each.setting, each.declared]))
  try {
    await client.indices.putSettings({ index: live.physical, settings })
  } catch (error) {
    throw describeRefusedChange(client, definition, changes, error)
  }
  return changes
}

/**
 * Elasticsearch itself decides whether a difference is one: the declared mapping is put in place, which it refuses as a
 * whole or accepts as a whole, and what differs afterwards from before is what was changed.
 */
async function updateMappings(
  client: Client,
  definition: IndexDefinition,
  live: LiveIndex,
  declared: Mappings,
): Promise<string[]> {
  const wanted = compareMappings(live.mappings, declared)
  if (wanted.added.length + wanted.changed.length === 0) return []
  try {
    // As a body: clients of version 8 take parameters that they do not know for query parameters.
    await client.indices.putMapping({ index: live.physical, body: { ...declared } as Body })
  } catch (error) {
    throw describeRefusedChange(client, definition, describeDifference(wanted), error)
  }
  const after = await client.indices.getMapping({ index: live.physical })
  const made = compareMappings(live.mappings, (after[live.physical]?.mappings ?? {}) as Mappings)
  // Dynamic mapping may have added fields of its own in between.
  const ours = new Set([...wanted.added, ...wanted.changed].map((each) => each.field))
  return describeDifference({
    added: made.added.filter((each) => ours.has(each.field)),
    changed: made.changed.filter((each) => ours.has(each.field)),
  })
}

type Body = Exclude<NonNullable<estypes.IndicesPutMappingRequest['body']>, string>

function describeRefusedChange(
  client: Client,
  definition: IndexDefinition,
  changes: string[],
  error: unknown,
): RedstreamError {
  const { type, reason } = refusalOf(error)
  // Some refusals (of another `enabled`) come as an internal error: Elasticsearch's mapper_exception has no status.
  if (statusOf(error) !== 400 && type !== 'mapper_exception') {
    return describeElasticsearchError(error, elasticsearchAddress(client))
  }
  return new RedstreamError(
    'INDEX',
    `Index "${definition.name}" of entity ${definition.metadata.name}: Elasticsearch refuses to change it in place ` +
      `(${changes.join('; ')}): ${reason}. ${newIndexNeeded(definition)}`,
    { cause: error },
  )
}

function newIndexNeeded(definition: IndexDefinition): string {
  return (
    'Take the change of the declaration back, or have a new index made from the database: ' +
    `\`redstream reindex ${definition.name}\`.`
  )
}
