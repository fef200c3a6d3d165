import type { Client } from '@elastic/elasticsearch'

import { RedstreamError } from '../errors.ts'
import type { IndexDefinition, Mappings } from '../indexed.ts'
import { elasticsearchAddress } from './elasticsearch-connection.ts'
import { describeElasticsearchError, statusOf } from './elasticsearch-error.ts'
import { writeAliasOf } from './index-names.ts'
import type { FlatSettings } from './index-settings.ts'

/** The physical index behind an entity's search alias, as it is now. */
export interface LiveIndex {
  physical: string
  mappings: Mappings
  settings: FlatSettings
}

/** What Elasticsearch has under a name (`GET _resolve/index/NAME`). */
export interface NameHolders {
  indices: { name: string }[]
  aliases: { name: string; indices: string | string[] }[]
  data_streams: { name: string }[]
}

/**
 * The index behind the entity's alias, or undefined when nothing has that name yet.
 *
 * @throws RedstreamError INDEX when the name is held by something that Redstream cannot work with
 */
export async function readLiveIndex(
  client: Client,
  definition: IndexDefinition,
): Promise<LiveIndex | undefined> {
  try {
    const holders = await client.indices.resolveIndex({ name: definition.name, expand_wildcards: 'all' })
    const physical = physicalBehind(holders, definition)
    if (physical === undefined) return undefined
    const answer = await client.indices.get({ index: physical, flat_settings: true })
    const index = answer[physical]
    if (index === undefined || !(writeAliasOf(physical) in (index.aliases ?? {}))) {
      throw foreignIndex(physical, definition)
    }
    return {
      physical,
      mappings: (index.mappings ?? {}) as Mappings,
      settings: index.settings ?? {},
    }
  } catch (error) {
    // The index may also be dropped (by the end of a reindex) between the two requests.
    if (statusOf(error) === 404) return undefined
    throw describeElasticsearchError(error, elasticsearchAddress(client))
  }
}

/**
 * The one index behind the alias; undefined when nothing has the name.
 *
 * @throws RedstreamError INDEX when the name is an index or a data stream, or the alias has several indices
 */
export function physicalBehind(holders: NameHolders, definition: IndexDefinition): string | undefined {
  const { name, metadata } = definition
  const another = 'choose another name (`index` in @Indexed)'
  if (holders.indices.length > 0) {
    throw new RedstreamError(
      'INDEX',
      `"${name}" is an index, but entity ${metadata.name} needs that name for an alias: adopt it with its ` +
        `documents (\`redstream init --adopt\`), ${another}, or delete that index if its content can be spared, and run ` +
        '`redstream init` again.',
    )
  }
  if (holders.data_streams.length > 0) {
    throw new RedstreamError(
      'INDEX',
      `"${name}" is a data stream, which takes no updates and no deletions by id, so it cannot hold the documents of ` +
        `entity ${metadata.name}: ${another}.`,
    )
  }
  const physical = holders.aliases.flatMap((alias) => alias.indices)
  if (physical.length > 1) {
    throw new RedstreamError(
      'INDEX',
      `The alias "${name}" of entity ${metadata.name} points to several indices (${physical.join(', ')}), but it must ` +
        `point to one. Remove it from the others (POST _aliases), or ${another}.`,
    )
  }
  return physical[0]
}

function foreignIndex(physical: string, definition: IndexDefinition): RedstreamError {
  return new RedstreamError(
    'INDEX',
    `The alias "${definition.name}" of entity ${definition.metadata.name} points to the index "${physical}", which ` +
      `Redstream did not make (it lacks the alias "${writeAliasOf(physical)}"). Adopt it with its documents ` +
      '(`redstream init --adopt`), choose another name (`index` in @Indexed), or remove the alias from that index and ' +
      'run `redstream init`, which makes an index of its own.',
  )
}
