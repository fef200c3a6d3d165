import type { Client } from '@elastic/elasticsearch'

import { RedstreamError } from '../errors.ts'
import type { IndexDefinition } from '../indexed.ts'
import { swapAlias } from './copy-index.ts'
import { allDocuments } from './document-pages.ts'
import { elasticsearchAddress } from './elasticsearch-connection.ts'
import { describeClientError } from './elasticsearch-error.ts'
import { definitionHash, physicalIndexName, writeAliasOf } from './index-names.ts'
import { declareIndex, type InitOptions } from './index-schema.ts'
import { physicalBehind } from './index-state.ts'

/** An index that was made by hand and is Redstream's now. */
export interface Adoption {
  /** The alias that applications search. */
  name: string
  /** The index behind it. */
  physical: string
  documents: number
}

/**
 * Takes over an index that somebody made by hand under the name of an entity's alias, with its documents: an index of
 * that name becomes an alias of a physical index, which Elasticsearch makes of it without copying (`_clone`); the index
 * behind an alias gets the write alias that it lacks. Searches find the same documents all the time. Mapping and
 * settings stay as they are: `initIndex` comes after it.
 *
 * Between the write block and the swap, a moment, other programs cannot write. When it is killed in between, the block
 * stays, and so may a clone that nobody uses; run again, it makes another one and goes on.
 *
 * @returns undefined when there is nothing to adopt
 * @throws RedstreamError INDEX when it cannot be adopted; ELASTICSEARCH, ELASTICSEARCH_UNAVAILABLE
 */
export async function adoptIndex(
  client: Client,
  definition: IndexDefinition,
  options: InitOptions = {},
): Promise<Adoption | undefined> {
  const { name } = definition
  try {
    const holders = await client.indices.resolveIndex({ name, expand_wildcards: 'all' }, { ignore: [404] })
    if ((holders.indices ?? []).length > 0) {
      const documents = await checkVersions(client, definition, name)
      return { name, physical: await makeAlias(client, definition, options), documents }
    }
    const physical = holders.aliases === undefined ? undefined : physicalBehind(holders, definition)
    if (physical === undefined || (await isOurs(client, physical))) return undefined
    const documents = await checkVersions(client, definition, physical)
    await client.indices.updateAliases({
      actions: [
        { add: { index: physical, alias: name, is_write_index: true } },
        { add: { index: physical, alias: writeAliasOf(physical), is_write_index: true, is_hidden: true } },
      ],
    })
    return { name, physical, documents }
  } catch (error) {
    throw describeClientError(error, elasticsearchAddress(client))
  }
}

async function isOurs(client: Client, physical: string): Promise<boolean> {
  return client.indices.existsAlias({ index: physical, name: writeAliasOf(physical) })
}

/**
 * Tickets must win against the versions that are there. Elasticsearch's own count from 1; others (nanoseconds, or
 * milliseconds with digits behind them) may be above the microseconds of the tickets, and for ever.
 */
async function checkVersions(client: Client, definition: IndexDefinition, index: string): Promise<number> {
  const { name, metadata } = definition
  const limit = Date.now() * 1_000
  let documents = 0
  for await (const page of allDocuments(client, definition, index)) {
    const high = page.find(({ version }) => version >= limit)
    if (high !== undefined) {
      throw new RedstreamError(
        'INDEX',
        `The index "${index}" cannot be adopted for entity ${metadata.name}: document ${high.place.id} has the version ` +
          `${high.version}, above what Redstream's own begin with (${limit}), so its changes would be refused as old. ` +
          `Nothing was changed. Have an index made from the database instead: \`redstream reindex ${name}\`.`,
      )
    }
    documents += page.length
  }
  return documents
}

/** Puts an alias in the place of an index; its documents are in a physical index then. */
async function makeAlias(client: Client, definition: IndexDefinition, options: InitOptions): Promise<string> {
  const { name } = definition
  const { mappings, settings } = declareIndex(definition, options)
  const physical = physicalIndexName(name, new Date(), definitionHash(mappings, settings))
  // Elasticsearch clones only what nobody writes to. It waits for the writes under way.
  await client.indices.addBlock({ index: name, block: 'write' })
  let cloned = false
  try {
    const { shards_acknowledged: isReady } = await client.indices.clone({
      index: name,
      target: physical,
      aliases: { [writeAliasOf(physical)]: { is_write_index: true, is_hidden: true } },
      settings: { 'index.blocks.write': null },
    })
    cloned = true
    if (!isReady) throw notReady(definition, physical)
    // From here on the clone must stay, whatever is answered: it may be all that there is.
    cloned = false
    await swapAlias(client, name, { from: name, to: physical, removesFrom: true })
  } catch (error) {
    await client.indices.putSettings({ index: name, settings: { 'index.blocks.write': null } })
    if (cloned) await client.indices.delete({ index: physical })
    throw error
  }
  return physical
}

function notReady({ metadata }: IndexDefinition, clone: string): RedstreamError {
  return new RedstreamError(
    'INDEX',
    `The clone "${clone}" of the index of entity ${metadata.name} was not ready in time, and is removed again. ` +
      'Nothing was changed. See to the health of the cluster (disk space, allocation rules), and try again.',
  )
}
