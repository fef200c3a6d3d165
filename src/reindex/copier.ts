import { z } from 'zod'

import { partitionOf } from '../capture/row-key.ts'
import { isRedstreamError } from '../errors.ts'
import { writeAliasOf } from '../indexing/index-names.ts'
import { Backoff } from '../runtime/backoff.ts'
import type { Batch, BatchResult } from '../streams/batch.ts'
import { Consumer, type ConsumerOptions } from '../streams/consumer.ts'
import { Isolation } from '../streams/isolation.ts'
import type { Partition } from '../streams/keys.ts'
import { runScript } from '../streams/scripts.ts'
import { Indexer, type IndexerOptions } from '../sync/indexer.ts'
import { Pace } from './pace.ts'
import { nextPhase } from './phases.ts'
import { TableKeys } from './slices.ts'
import type { ReindexState } from './state.ts'
import { copyGroup, type ReindexStore } from './store.ts'

export interface CopierOptions
  extends
    Omit<IndexerOptions, 'copyTo'>,
    Pick<ConsumerOptions, 'connections' | 'namespace' | 'takeOverAfterMs'> {
  readonly store: ReindexStore
  readonly state: ReindexState
  /** Slices at once. */
  readonly hands: number
  /** Live changes may wait so long, in ms, before the copy slows down. */
  readonly lagLimitMs: number
}

const sliceSchema = z.object({
  id: z.string(),
  number: z.number(),
  after: z.string().optional(),
  upTo: z.string().optional(),
})

/**
 * Copies slices of the table into the new index, beside others who do the same.
 *
 * A slice is an entry of a stream with a consumer group, so that each is worked on by one member, and taken over when
 * that member dies. How far it is, is in Redis, page by page; a page that two copy is written twice with the same
 * outcome and counted once. Pages are indexed as every change is: a ticket, then the rows, then the documents with the
 * ticket as their version; so a page never overwrites a change that came after it.
 */
export class Copier {
  readonly #options: CopierOptions
  readonly #keys: TableKeys
  readonly #indexer: Indexer
  readonly #pace: Pace

  constructor(options: CopierOptions) {
    this.#options = options
    const { dataSource, definition, store, state, redis, lagLimitMs, hands } = options
    this.#keys = new TableKeys(dataSource, definition)
    this.#indexer = new Indexer({ ...options, concurrency: hands, copyTo: writeAliasOf(state.to) })
    this.#pace = new Pace({ store, redis, rate: state.rate, lagLimitMs })
  }

  /** Takes slices until `signal` aborts; the cursors of those in work are saved. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, hands, connections, namespace, takeOverAfterMs, logger } = this.#options
    const consumer = new Consumer({
      connections,
      namespace,
      takeOverAfterMs,
      logger,
      partition: store.slicesPartition(),
      group: copyGroup,
      handler: (batch) => this.#slice(batch).catch((error: unknown) => this.#giveUp(error)),
      batchSize: 1,
      concurrency: hands,
      // Of its own: a slice may take long, and live changes must not wait for it.
      isolation: new Isolation(),
    })
    await consumer.run(signal)
  }

  async #slice(batch: Batch): Promise<BatchResult> {
    const { store, state } = this.#options
    const unfinished = { retry: batch.ids }
    const slice = sliceSchema.parse(JSON.parse(batch.messages[0]?.payload ?? '{}'))
    // Of a reindex before this one.
    if (slice.id !== state.id) return {}
    const size = pageSize(batch.deliveries, this.#options.batchSize)
    while (!batch.signal.aborted) {
      const progress = await store.sliceProgress(slice.id, slice.number)
      if (progress === undefined || progress.done) return {}
      await this.#pace.wait(size, batch.signal)
      if (batch.signal.aborted) return unfinished
      const range = { after: progress.cursor ?? slice.after, upTo: slice.upTo }
      const keys = await this.#keys.page(range, size)
      const bytes = await this.#page(batch, keys, size === 1)
      if (bytes === undefined) return unfinished
      const last = keys.length < size ? undefined : keys.at(-1)
      await store.copied(slice.id, slice.number, { after: progress.cursor, last, rows: keys.length, bytes })
      batch.activity.advanced()
    }
    return unfinished
  }

  /** Ends the reindex for what no other attempt mends: keys that cannot be read in order. */
  async #giveUp(error: unknown): Promise<BatchResult> {
    const { store, state } = this.#options
    const phase = nextPhase(state.phase, 'failed')
    if (!isRedstreamError(error) || error.code !== 'ENTITY' || phase === undefined) throw error
    await store.replace(state, { ...state, phase, problem: error.message })
    return {}
  }

  /** Copies rows; returns the bytes, or undefined when it was told to stop before all of them were copied. */
  async #page(batch: Batch, keys: readonly string[], alone: boolean): Promise<number | undefined> {
    const { partitions } = this.#options.store
    const parts = Map.groupBy(keys, (key) => partitionOf(key, partitions.length))
    const copied = await Promise.all(
      [...parts].map(([number, ids]) => this.#part({ ...batch, partition: partitions[number]!, ids, alone })),
    )
    return copied.reduce<number | undefined>(
      (sum, bytes) => (sum === undefined || bytes === undefined ? undefined : sum + bytes),
      0,
    )
  }

  /**
   * Copies rows of one partition, until all are in the new index or among the dead letters. Where their documents move
   * (`id`, `routing`): at first nobody else has copied them, so that no former place must be looked for; a copier that
   * died may have.
   */
  async #part(batch: Batch): Promise<number | undefined> {
    const backoff = new Backoff()
    let bytes = 0
    for (let { ids } = batch; ;) {
      const messages = ids.map((id) => (batch.deliveries > 1 ? { id } : { id, places: [] }))
      const result = await this.#indexer.handle({ ...batch, ids, messages, lane: 'bulk' })
      bytes += result.bytes
      // Otherwise the letters stay: the index that is searched may still lack the row.
      if (batch.alone) await this.#settle(batch.partition, result)
      ids = result.retry ?? []
      if (ids.length === 0) return bytes
      if (batch.signal.aborted) return undefined
      batch.activity.pauses()
      await backoff.pause(batch.signal)
      if (batch.signal.aborted) return undefined
    }
  }

  /** Removes the letter that stood for a row while it was tried alone. */
  async #settle({ keys }: Partition, { resolved = [] }: BatchResult): Promise<void> {
    const rows = resolved.flatMap((one) => [one.version, one.ids.length, ...one.ids])
    await runScript(this.#options.redis, 'settle', [keys.bulk, keys.deadLetters], [copyGroup, 0, ...rows])
  }
}

/**
 * Rows of a page. A slice that was given out several times may hold a row that ends the process: smaller pages come
 * closer to it, and alone it is found (see `sync/trial.ts`).
 */
export function pageSize(deliveries: number, batchSize: number): number {
  if (deliveries < 4) return batchSize
  return deliveries < 6 ? Math.min(batchSize, 50) : 1
}
