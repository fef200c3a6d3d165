import type { Client, estypes } from '@elastic/elasticsearch'

import { RedstreamError } from '../errors.ts'
import type { IndexDefinition } from '../indexed.ts'
import { elasticsearchAddress } from './elasticsearch-connection.ts'
import { describeElasticsearchError, refusalOf, statusOf } from './elasticsearch-error.ts'
import { writeAliasOf } from './index-names.ts'
import type { FlatSettings } from './index-settings.ts'
import { describeRefusedDefinition, type DeclaredIndex } from './refused-definition.ts'

const refresh = 'index.refresh_interval'
const replicas = 'index.number_of_replicas'
const autoReplicas = 'index.auto_expand_replicas'

/** The settings while an index is filled: nobody searches it, and replicas are cheaper to copy when it is full. */
export function settingsForCopy(declared: FlatSettings): FlatSettings {
  const expands = declared[autoReplicas] === undefined ? {} : { [autoReplicas]: false }
  return { ...declared, ...expands, [refresh]: '-1', [replicas]: 0 }
}

/**
 * What brings an index from {@link settingsForCopy} to what was declared; null is Elasticsearch's default.
 *
 * @param live - settings of the index that it replaces. What nobody declared stays as it is there: somebody, or a
 *   template, has set it, and replicas that find no node would be waited for, for ever
 */
export function settingsAfterCopy(declared: FlatSettings, live: FlatSettings): FlatSettings {
  const isDeclared = declared[replicas] !== undefined
  const given: FlatSettings = { ...live, ...(isDeclared && { [autoReplicas]: undefined }), ...declared }
  const expands = given[autoReplicas] === undefined ? {} : { [autoReplicas]: given[autoReplicas] }
  return { [refresh]: given[refresh] ?? null, [replicas]: given[replicas] ?? null, ...expands }
}

/**
 * Makes an index that is to be filled, under its write alias alone. Nothing happens when it is there.
 *
 * @throws RedstreamError ELASTICSEARCH (mapping or settings refused), ELASTICSEARCH_UNAVAILABLE
 */
export async function createCopyIndex(
  client: Client,
  definition: IndexDefinition,
  declared: DeclaredIndex,
  physical: string,
): Promise<void> {
  try {
    await client.indices.create({
      index: physical,
      aliases: { [writeAliasOf(physical)]: { is_write_index: true, is_hidden: true } },
      mappings: declared.mappings as estypes.MappingTypeMapping,
      settings: settingsForCopy(declared.settings),
    })
  } catch (error) {
    if (refusalOf(error).type === 'resource_already_exists_exception') return
    throw await describeRefusedDefinition(client, definition, declared, error)
  }
}

/** The settings as declared, else as those of the index that is replaced, and everything visible to searches. */
export async function restoreSettings(
  client: Client,
  declared: DeclaredIndex,
  { from, to: physical }: { from: string; to: string },
): Promise<void> {
  const found = await described(
    client,
    client.indices.getSettings({ index: from, flat_settings: true, ignore_unavailable: true }),
  )
  const settings = settingsAfterCopy(declared.settings, found[from]?.settings ?? {})
  await described(client, client.indices.putSettings({ index: physical, settings }))
  await described(client, client.indices.refresh({ index: physical }))
}

/**
 * Whether an index is as healthy as another one, or that is gone, so that searches may move to it. Waits up to
 * `seconds` for that.
 */
export async function isAsHealthy(
  client: Client,
  physical: string,
  other: string,
  seconds: number,
): Promise<boolean> {
  // The health of an index that is gone is not answered for half a minute, and then as a timeout.
  if (!(await described(client, client.indices.exists({ index: other })))) return true
  const wanted = await described(client, client.cluster.health({ index: other }))
  if (wanted.status !== 'green') return true
  const found = await described(
    client,
    client.cluster.health(
      { index: physical, wait_for_status: 'green', timeout: `${seconds}s` },
      { ignore: [408] },
    ),
  )
  return !found.timed_out
}

/** Number of documents that a search finds. */
export async function countDocuments(client: Client, physical: string): Promise<number> {
  return (await described(client, client.count({ index: physical }))).count
}

/** Whether documents can be written to an index of ours. */
export function isWritable(client: Client, physical: string): Promise<boolean> {
  return described(client, client.indices.existsAlias({ name: writeAliasOf(physical) }))
}

/** The indices behind the alias that applications search. */
export async function indicesBehind(client: Client, name: string): Promise<string[]> {
  try {
    return Object.keys(await client.indices.get({ index: name, filter_path: '*.aliases' }))
  } catch (error) {
    if (statusOf(error) === 404) return []
    throw describeElasticsearchError(error, elasticsearchAddress(client))
  }
}

/**
 * Moves the alias that applications search from one index to another, in one step of the cluster. Nothing happens
 * when it is there already. An alias that went with its index is made anew; one that is elsewhere is left there.
 *
 * @param removesFrom - `from` is an index that was made by hand and has the alias' name: it goes in the same step
 */
export async function swapAlias(
  client: Client,
  name: string,
  { from, to, removesFrom = false }: { from: string; to: string; removesFrom?: boolean },
): Promise<void> {
  const behind = await indicesBehind(client, name)
  if (behind.length === 1 && behind[0] === to) return
  const leave: estypes.IndicesUpdateAliasesAction = removesFrom
    ? { remove_index: { index: from } }
    : { remove: { index: from, alias: name, must_exist: true } }
  const enter = { add: { index: to, alias: name, is_write_index: true } }
  const actions = behind.length === 0 ? [enter] : [leave, enter]
  await described(client, client.indices.updateAliases({ actions }))
}

/**
 * Drops an index that nobody searches. Nothing happens when it is gone.
 *
 * @throws RedstreamError INDEX when the alias that applications search points to it
 */
export async function dropIndex(client: Client, name: string, physical: string): Promise<void> {
  if ((await indicesBehind(client, name)).includes(physical)) {
    throw new RedstreamError(
      'INDEX',
      `The index "${physical}" is not dropped, because the alias "${name}" points to it. ` +
        'Somebody has moved the alias; move it to the index that shall be searched (POST _aliases).',
    )
  }
  await described(client, client.indices.delete({ index: physical, ignore_unavailable: true }))
}

/** Size of an index, primary shards alone, and what is free on the data nodes; undefined where that cannot be asked. */
export async function readDisk(
  client: Client,
  physical: string,
): Promise<{ needed: number; free: number } | undefined> {
  try {
    const { _all } = await client.indices.stats({ index: physical, metric: 'store' })
    const { nodes } = await client.nodes.stats({ metric: 'fs' })
    const free = Object.values(nodes).map((node) => node.fs?.total?.available_in_bytes)
    if (free.some((bytes) => bytes === undefined)) return undefined
    return {
      needed: _all.primaries?.store?.size_in_bytes ?? 0,
      free: free.reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0),
    }
  } catch (error) {
    // Serverless has no nodes to ask for, and the user may not be allowed to.
    if ([403, 404, 410].includes(statusOf(error) ?? 0)) return undefined
    throw describeElasticsearchError(error, elasticsearchAddress(client))
  }
}

async function described<T>(client: Client, answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    throw describeElasticsearchError(error, elasticsearchAddress(client))
  }
}
