import { randomBytes } from 'node:crypto'

import type { Client, estypes } from '@elastic/elasticsearch'

import { isRedstreamError } from '../errors.ts'
import type { IndexDefinition } from '../indexed.ts'
import { readDisk } from './copy-index.ts'
import { elasticsearchAddress } from './elasticsearch-connection.ts'
import { describeElasticsearchError } from './elasticsearch-error.ts'
import { declareIndex, type InitOptions } from './index-schema.ts'
import type { FlatSettings } from './index-settings.ts'
import { readLiveIndex, type LiveIndex } from './index-state.ts'
import { updateIndex } from './index-update.ts'
import type { DeclaredIndex } from './refused-definition.ts'
import {
  compareMappings,
  compareSettings,
  describeDifference,
  describeSettings,
} from './schema-difference.ts'

/** What has to be done about an index. */
export type PlannedAction =
  /** Nothing: it is as declared. */
  | 'nothing'
  /** It does not exist; `init` makes it. */
  | 'create'
  /** `init` changes it in place. */
  | 'change'
  /** Elasticsearch cannot change it in place: `redstream reindex`. */
  | 'reindex'
  /** Its name is held by something else: see `reason`. */
  | 'blocked'

/** The difference between an index as declared and as it is. */
export interface IndexPlan {
  /** The alias that applications search. */
  name: string
  /** The index behind it; null: there is none of ours. */
  physical: string | null
  action: PlannedAction
  /** One sentence for each difference. */
  changes: string[]
  /** Why it is not done in place. */
  reason?: string
  /** Size of the index that a reindex replaces, primary shards alone. */
  bytes?: number
}

/**
 * What `init` would do about an index, without doing it.
 *
 * Whether a change is possible in place, only Elasticsearch knows. So it is tried: on an empty index of the same
 * mapping and settings, `<name>-plan-…`, which is removed again.
 *
 * @throws RedstreamError ENTITY, ELASTICSEARCH, ELASTICSEARCH_UNAVAILABLE
 */
export async function planIndex(
  client: Client,
  definition: IndexDefinition,
  options: InitOptions = {},
): Promise<IndexPlan> {
  const { name } = definition
  const declared = declareIndex(definition, options)
  const blocked = (reason: string): IndexPlan => ({
    name,
    physical: null,
    action: 'blocked',
    changes: [],
    reason,
  })
  const live = await orReason(readLiveIndex(client, definition))
  if (typeof live === 'string') return blocked(live)
  if (live === undefined) return { name, physical: null, action: 'create', changes: [] }
  const { physical } = live
  const changes = differencesOf(live, declared)
  if (changes.length === 0) return { name, physical, action: 'nothing', changes }
  const made = await orReason(rehearse(client, definition, live, declared))
  if (typeof made !== 'string')
    return { name, physical, action: made.length > 0 ? 'change' : 'nothing', changes: made }
  const disk = await readDisk(client, physical)
  return { name, physical, action: 'reindex', changes, reason: made, ...(disk && { bytes: disk.needed }) }
}

function differencesOf(live: LiveIndex, declared: DeclaredIndex): string[] {
  return [
    ...describeSettings(compareSettings(live.settings, declared.settings)),
    ...describeDifference(compareMappings(live.mappings, declared.mappings)),
  ]
}

/** What was found, or why the index is not in the state that is needed. */
async function orReason<T>(work: Promise<T>): Promise<T | string> {
  try {
    return await work
  } catch (error) {
    if (isRedstreamError(error) && error.code === 'INDEX') return error.message
    throw error
  }
}

/** Makes the changes on an empty copy of the index, and says which there were. */
async function rehearse(
  client: Client,
  definition: IndexDefinition,
  live: LiveIndex,
  declared: DeclaredIndex,
): Promise<string[]> {
  const copy = `${definition.name}-plan-${randomBytes(4).toString('hex')}`
  try {
    await client.indices.create({
      index: copy,
      mappings: live.mappings as estypes.MappingTypeMapping,
      settings: { ...settingsOfCopy(live.settings), 'index.hidden': true },
    })
    return await updateIndex(client, definition, { ...live, physical: copy }, declared)
  } catch (error) {
    throw describeElasticsearchError(error, elasticsearchAddress(client))
  } finally {
    await client.indices.delete({ index: copy, ignore_unavailable: true })
  }
}

// What Elasticsearch sets itself, and what concerns the data and not the changes.
const ownSettings =
  /^index\.(uuid|creation_date|provided_name|version\.|resize\.|history|blocks\.|lifecycle|routing\.allocation|verified_before_close|number_of_replicas|auto_expand_replicas)/

/** The settings that an empty copy of an index can be made with. */
export function settingsOfCopy(live: FlatSettings): FlatSettings {
  const kept = Object.entries(live).filter(([name, value]) => !ownSettings.test(name) && value !== null)
  return { ...Object.fromEntries(kept), 'index.number_of_replicas': 0 }
}
