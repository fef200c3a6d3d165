import type { Client, estypes } from '@elastic/elasticsearch'

import { RedstreamError } from '../errors.ts'
import type { IndexDefinition, Mappings } from '../indexed.ts'
import { elasticsearchAddress } from './elasticsearch-connection.ts'
import { describeElasticsearchError, refusalOf, statusOf } from './elasticsearch-error.ts'
import type { FlatSettings } from './index-settings.ts'

/** What an entity's index was declared to be. */
export interface DeclaredIndex {
  mappings: Mappings
  settings: FlatSettings
}

/** The error for an index that Elasticsearch did not make: its reason, the entity, and the field where one is at fault. */
export async function describeRefusedDefinition(
  client: Client,
  definition: IndexDefinition,
  declared: DeclaredIndex,
  error: unknown,
): Promise<RedstreamError> {
  if (statusOf(error) !== 400) return describeElasticsearchError(error, elasticsearchAddress(client))
  const field = await refusedField(client, declared)
  const where = field === undefined ? '' : ` (field "${field}")`
  return new RedstreamError(
    'ELASTICSEARCH',
    `Elasticsearch refuses to make the index "${definition.name}" of entity ${definition.metadata.name}${where}: ` +
      `${refusalOf(error).reason}. Correct \`mappings\` or \`settings\` in @Indexed.`,
    { cause: error },
  )
}

/**
 * Which top-level field makes Elasticsearch refuse a mapping: its reasons do not always say. Each is tried alone in a
 * simulated template, which is checked like an index and leaves nothing behind. Undefined when none of them is at
 * fault alone, or when the user may not simulate templates.
 */
async function refusedField(
  client: Client,
  { mappings, settings }: DeclaredIndex,
): Promise<string | undefined> {
  const simulate = async (properties: Record<string, unknown>): Promise<number> => {
    const template = { mappings: { properties } as estypes.MappingTypeMapping, settings }
    try {
      // The pattern must not meet one of the cluster's own templates.
      await client.indices.simulateTemplate({ index_patterns: ['redstream-check-*'], template })
      return 200
    } catch (error) {
      return statusOf(error) ?? 0
    }
  }
  // Settings that are wrong by themselves would put the blame on the first field.
  if ((await simulate({})) !== 200) return undefined
  for (const [name, field] of Object.entries(mappings.properties ?? {})) {
    const status = await simulate({ [name]: field })
    if (status !== 200) return status === 400 ? name : undefined
  }
  return undefined
}
