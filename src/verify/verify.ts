import type { Client } from '@elastic/elasticsearch'

import { canonicalKey } from '../capture/row-key.ts'
import { RedstreamError } from '../errors.ts'
import type { Mappings } from '../indexed.ts'
import { allDocuments, randomDocuments } from '../indexing/document-pages.ts'
import { writeAliasOf } from '../indexing/index-names.ts'
import { currentTargets } from '../indexing/index-schema.ts'
import { elasticsearchAddress } from '../indexing/elasticsearch-connection.ts'
import { describeClientError } from '../indexing/elasticsearch-error.ts'
import { readLiveIndex, type LiveIndex } from '../indexing/index-state.ts'
import type { IndexSite } from '../sync/site.ts'
import { isTarget } from '../sync/ticket.ts'
import { incomparableFields } from './comparable.ts'
import { Looker } from './looker.ts'
import { Tally, type VerifyReport } from './report.ts'
import { allRows, rowRanges, rowsSince } from './row-pages.ts'
import { Verification } from './verification.ts'

/** What is compared. */
export type Scope =
  /** Every row, and every document. */
  | { readonly kind: 'all' }
  /** About so many rows, in some random ranges of the table, and so many random documents. */
  | { readonly kind: 'sample'; readonly size: number }
  /** Rows that were written in the last `ms`, by their update-date column. Deleted rows are not among them. */
  | { readonly kind: 'since'; readonly ms: number }
  /** These rows, or the documents that they left behind. */
  | { readonly kind: 'ids'; readonly ids: readonly string[] }

/** How far verify is. */
export interface VerifyProgress {
  readonly rows: number
  readonly documents: number
}

export interface VerifyOptions {
  readonly scope: Scope
  /** Queue what differs in the bulk lane, and check that it is cured. */
  readonly repair: boolean
  /** Examples of each kind of difference. */
  readonly examples: number
  /** How long the queue may stand still before a difference counts as in flight, in ms. */
  readonly patienceMs: number
  /** A physical index in place of the one behind the alias. */
  readonly index?: string | undefined
  /** Stops after the page at hand. */
  readonly signal: AbortSignal
  /** Called after each page, with the number of documents that the index has. */
  readonly onProgress?: (progress: VerifyProgress, total: number) => void
}

// One of them may lie where a range of keys is all right, or all wrong.
const rangesOfSample = 10

/**
 * Compares rows with documents, while both may change. Nothing is locked, and memory does not grow with the table.
 *
 * @throws RedstreamError INDEX when there is no such index, it keeps no `_source`, or is to be repaired and nothing is
 *   written to it, USAGE when the scope does not fit the entity, DATABASE, ELASTICSEARCH, ELASTICSEARCH_UNAVAILABLE
 */
export async function verifyIndex(site: IndexSite, options: VerifyOptions): Promise<VerifyReport> {
  const { definition, client } = site
  const { signal } = options
  try {
    const { physical, looker } = await openIndex(site, options.index)
    if (options.repair) await checkIsWritten(site, physical)
    const tally = new Tally(options.examples)
    const verification = new Verification(site, looker, tally, { ...options, physical })
    const { onProgress } = options
    const total = onProgress === undefined ? 0 : (await client.count({ index: physical })).count
    const watched = <T>(pages: AsyncIterable<T>): AsyncIterable<T> =>
      onProgress === undefined ? pages : telling(pages, () => onProgress(tally, total))
    let complete = true
    try {
      await walk(site, physical, options.scope, verification, watched)
    } catch (error) {
      if (error !== signal.reason) throw error
      complete = false
    }
    return tally.report(definition.name, physical, complete)
  } catch (error) {
    throw describeClientError(error, elasticsearchAddress(client))
  }
}

/**
 * What is queued for repair goes to the targets only; and the documents of another index, which a wrong `--index` names,
 * have no rows here and would be deleted.
 */
async function checkIsWritten(
  { definition, client, redis, partitions }: IndexSite,
  physical: string,
): Promise<void> {
  for (const { keys } of partitions) {
    const listed = (await redis.smembers(keys.targets)).filter(isTarget)
    const targets = listed.length === 0 ? await currentTargets(client, definition) : listed
    if (targets.includes(writeAliasOf(physical))) continue
    throw new RedstreamError(
      'INDEX',
      `"${physical}" is not repaired, because changes of ${definition.metadata.name} are not written to it, but to ` +
        `${targets.join(', ')}. Leave \`--index\` away; if somebody has moved the alias "${definition.name}" by hand, ` +
        'run `redstream init`.',
    )
  }
}

async function walk(
  site: IndexSite,
  physical: string,
  scope: Scope,
  verification: Verification,
  watched: <T>(pages: AsyncIterable<T>) => AsyncIterable<T>,
): Promise<void> {
  const { client, definition } = site
  switch (scope.kind) {
    case 'all':
      await verification.rows(watched(allRows(site)), { alone: false })
      await verification.documents(watched(allDocuments(client, definition, physical)))
      return
    case 'sample': {
      const starts: string[] = []
      await verification.documents(
        watched(randomDocuments(client, definition, physical, scope.size)),
        (keys) => {
          starts.push(...keys.slice(0, rangesOfSample - starts.length))
        },
      )
      await verification.rows(watched(rowRanges(site, starts, scope.size)), { alone: false })
      return
    }
    case 'since':
      await verification.rows(watched(rowsSince(site, scope.ms)), { alone: true })
      return
    case 'ids':
      await verification.rows(watched(pagesOf(definition, scope.ids)), { alone: true })
  }
}

/**
 * The index to look at, and what compares its documents with their rows.
 *
 * @param given - a physical index in place of the one behind the alias
 * @throws RedstreamError INDEX when there is no such index or it keeps no `_source`
 */
export async function openIndex(
  site: IndexSite,
  given?: string,
): Promise<{ physical: string; looker: Looker }> {
  const { client, definition } = site
  const live =
    given === undefined ? await readLiveIndex(client, definition) : await readPhysical(client, given)
  if (live === undefined) {
    throw new RedstreamError(
      'INDEX',
      given === undefined
        ? `The index "${definition.name}" of entity ${definition.metadata.name} does not exist. Run \`redstream init\`.`
        : `There is no index "${given}"; without --index the one behind the alias "${definition.name}" is verified.`,
    )
  }
  const { physical, mappings, settings } = live
  return { physical, looker: new Looker(site, physical, incomparableFields(physical, mappings, settings)) }
}

async function readPhysical(client: Client, name: string): Promise<LiveIndex | undefined> {
  const answer = await client.indices.get({ index: name, flat_settings: true, ignore_unavailable: true })
  const [found, ...others] = Object.entries(answer)
  if (found === undefined || others.length > 0) return undefined
  const [physical, { mappings, settings }] = found
  return { physical, mappings: (mappings ?? {}) as Mappings, settings: settings ?? {} }
}

async function* pagesOf(
  { metadata }: IndexSite['definition'],
  ids: readonly string[],
  size = 1_000,
): AsyncGenerator<string[]> {
  // As given, too: another program may have made a document of that name.
  const unique = [...new Set(ids.flatMap((id) => [canonicalKey(metadata, id), id]))]
  for (let start = 0; start < unique.length; start += size) yield unique.slice(start, start + size)
}

async function* telling<T>(pages: AsyncIterable<T>, tell: () => void): AsyncGenerator<T> {
  for await (const page of pages) {
    yield page
    tell()
  }
}
