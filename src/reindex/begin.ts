import { randomBytes } from 'node:crypto'

import type { Client } from '@elastic/elasticsearch'

import { RedstreamError } from '../errors.ts'
import type { IndexDefinition } from '../indexed.ts'
import { readDisk } from '../indexing/copy-index.ts'
import { definitionHash, physicalIndexName } from '../indexing/index-names.ts'
import type { FlatSettings } from '../indexing/index-settings.ts'
import { readLiveIndex } from '../indexing/index-state.ts'
import type { DeclaredIndex } from '../indexing/refused-definition.ts'
import type { ReindexState } from './state.ts'

/** What somebody may wish for a reindex. */
export interface ReindexWishes {
  /** How long the old index is kept after the swap, in ms. */
  readonly keepOldMs: number
  /** Most rows a second, all copying processes together; 0: as many as go. Default: 0, or what it began with. */
  readonly rate?: number | undefined
}

/** The state that a new reindex begins with. */
export function firstState(
  { name }: IndexDefinition,
  declared: DeclaredIndex,
  from: string,
  now: number,
  { keepOldMs, rate = 0 }: ReindexWishes,
): ReindexState {
  const hash = fingerprintOf(declared)
  const named = physicalIndexName(name, new Date(now), hash)
  return {
    id: randomBytes(6).toString('hex'),
    phase: 'creating',
    name,
    from,
    // The name has seconds only.
    to: named === from ? physicalIndexName(name, new Date(now + 1_000), hash) : named,
    definition: hash,
    keepOldMs,
    rate,
    startedAt: now,
    slices: 0,
    rows: 0,
    documents: 0,
    again: false,
    attempt: 1,
  }
}

export function fingerprintOf({ mappings, settings }: DeclaredIndex): string {
  return definitionHash(mappings, settings)
}

/**
 * The index that is to be replaced.
 *
 * @throws RedstreamError INDEX when there is none, or one that Redstream did not make
 */
export async function indexToReplace(client: Client, definition: IndexDefinition): Promise<string> {
  const live = await readLiveIndex(client, definition)
  if (live !== undefined) return live.physical
  throw new RedstreamError(
    'INDEX',
    `The index "${definition.name}" of entity ${definition.metadata.name} does not exist. Run \`redstream init\`, which ` +
      'makes it, and then reindex it to fill it from the database.',
  )
}

/**
 * Refuses a copy that cannot find room: it would fill the disks, and Elasticsearch then takes no writes for any index.
 *
 * @throws RedstreamError INDEX
 */
export async function checkDisk(client: Client, from: string, settings: FlatSettings): Promise<void> {
  const disk = await readDisk(client, from)
  if (disk === undefined) return
  const problem = diskProblem(disk.needed, copiesOf(settings), disk.free)
  if (problem !== undefined) throw new RedstreamError('INDEX', `${from} is not reindexed: ${problem}`)
}

/** Why a copy of an index finds no room, or undefined. The new one is taken to be about as large as the old one. */
export function diskProblem(primaryBytes: number, copies: number, freeBytes: number): string | undefined {
  const needed = primaryBytes * copies
  if (needed <= freeBytes) return undefined
  return (
    `the new index would need about ${mebibytes(needed)} (${copies} × ${mebibytes(primaryBytes)}), but the nodes of ` +
    `Elasticsearch have ${mebibytes(freeBytes)} free; make room, or declare fewer replicas`
  )
}

function copiesOf(settings: FlatSettings): number {
  return 1 + Number(settings['index.number_of_replicas'] ?? 1)
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 ** 2).toLocaleString('en-US')} MiB`
}
