import { canonicalKey, partitionOf } from '../capture/row-key.ts'
import { elasticsearchAddress } from '../indexing/elasticsearch-connection.ts'
import { describeClientError } from '../indexing/elasticsearch-error.ts'
import type { Place } from '../place.ts'
import { pause } from '../runtime/backoff.ts'
import { deadLetterOf, type DeadLetter } from '../streams/dead-letters.ts'
import { workerStatus } from '../streams/inspect.ts'
import { indexGroup } from '../sync/indexer.ts'
import type { IndexSite } from '../sync/site.ts'
import { spotsOf } from './homes.ts'
import type { FieldDifference } from './json-difference.ts'
import type { Look } from './look.ts'
import { findMessages, type MessageSearch } from './message-search.ts'
import { publishMs, waitingCascades } from './queue.ts'
import { openIndex } from './verify.ts'
import { verdict } from './why-verdict.ts'

/** What `redstream why --json` prints. */
export interface WhyReport {
  /** The alias that applications search. */
  readonly name: string
  /** The row's key. */
  readonly id: string
  /** Whether the document is as it should be; why, and what to do. */
  readonly verdict: string
  readonly inStep: boolean
  readonly row: boolean
  /** Null: there is none. */
  readonly document: {
    /** The physical index. */
    readonly index: string
    /** Its `_id`, which is the row's key unless the entity has an `id` of its own; and its routing, if it has one. */
    readonly place: Place
    readonly version: number
    /** When the ticket was taken that is its version, ISO 8601; null: its version is no ticket of Redstream. */
    readonly ticketAt: string | null
  } | null
  /** The fields in which the document is not as the row. */
  readonly fields: readonly FieldDifference[]
  readonly partition: number
  /** The last ticket that the partition gave out; null: none yet. */
  readonly ticket: string | null
  readonly messages: MessageSearch
  /** Streams in which changes of rows wait that documents of this index embed. */
  readonly cascades: readonly string[]
  readonly deadLetter: DeadLetter | null
  /** Processes that are alive, by kind. */
  readonly workers: Readonly<Record<string, number>>
}

const mostEntries = 10_000

/**
 * Why a document is as it is: its row, its version, and everything in Redis that concerns it.
 *
 * @throws RedstreamError as `verifyIndex`
 */
export async function explainDocument(site: IndexSite, given: string): Promise<WhyReport> {
  const { definition, redis, partitions, client, settings } = site
  const id = canonicalKey(definition.metadata, given)
  // As given, too: another program may have made a document of that name.
  const keys = [...new Set([id, given])]
  const partition = partitions[partitionOf(id, partitions.length)]!
  try {
    const { physical, looker } = await openIndex(site)
    const observe = async (): Promise<{ cascades: string[]; search: MessageSearch; look: Look }> => {
      // In the order in which a change passes them.
      const cascades = await waitingCascades(site)
      const search = await findMessages(redis, partition, indexGroup, id, mostEntries)
      return { cascades, search, look: tellingLook(await looker.look(await spotsOf(site, physical, keys))) }
    }
    let { cascades, search, look } = await observe()
    if (look.finding !== undefined && search.messages.every(({ state }) => state === 'done')) {
      // Its message may have been written, or been done, between the two.
      await pause(publishMs)
      ;({ cascades, search, look } = await observe())
    }
    const letter = await deadLetterOf(redis, partition, id)
    const workers = await workerStatus(redis, settings.namespace)
    const { hasRow, place = { id }, version, finding } = look
    const { name } = definition
    return {
      name,
      id,
      verdict: verdict({
        name,
        id,
        look,
        search,
        cascades,
        letter,
        alive: new Set(workers.map(({ kind }) => kind)),
      }),
      inStep: finding === undefined,
      row: hasRow,
      document:
        version === undefined
          ? null
          : {
              index: physical,
              place,
              version,
              ticketAt: ticketTime(version),
            },
      fields: finding?.kind === 'stale' ? finding.fields : [],
      partition: partition.number,
      ticket: await redis.get(partition.keys.ticket),
      messages: search,
      cascades,
      deadLetter: letter ?? null,
      workers: Object.fromEntries(
        [...Map.groupBy(workers, ({ kind }) => kind)].map(([kind, ofKind]) => [kind, ofKind.length]),
      ),
    }
  } catch (error) {
    throw describeClientError(error, elasticsearchAddress(client))
  }
}

/** Of a row with its document and of what it left behind: what is wrong, else what there is. */
function tellingLook(looks: readonly Look[]): Look {
  const wrong = looks.find(({ finding }) => finding !== undefined)
  return wrong ?? looks.find(({ hasRow, version }) => hasRow || version !== undefined) ?? looks[0]!
}

// Tickets are microseconds since 1970; Elasticsearch's own versions count from 1.
const leastTicket = Date.UTC(2001, 0) * 1_000

function ticketTime(version: number): string | null {
  return version < leastTicket ? null : new Date(version / 1_000).toISOString()
}
