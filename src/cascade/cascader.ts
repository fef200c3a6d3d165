import type { DataSource, QueryRunner } from 'typeorm'

import type { RowKey } from '../capture/row-key.ts'
import { isRedstreamError } from '../errors.ts'
import type { StreamDefinition } from '../indexed.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Batch, BatchResult } from '../streams/batch.ts'
import { decodeMessages } from '../streams/message.ts'
import type { RedisClient } from '../streams/scripts.ts'
import type { StreamId } from '../streams/stream-id.ts'
import type { StreamWriter } from '../streams/stream-writer.ts'
import { isFaultOfData } from '../sync/document-loader.ts'
import { FanOut } from './fan-out.ts'
import { laneOf } from './lane.ts'
import { ownerPage, type OwnerPage } from './owners.ts'
import type { CascadePath } from './paths.ts'
import { startsOf, type Start } from './starts.ts'

export interface CascaderOptions {
  readonly dataSource: DataSource
  readonly redis: RedisClient
  readonly paths: readonly CascadePath[]
  /** The writers of the owners' streams. */
  readonly writers: ReadonlyMap<StreamDefinition, StreamWriter>
  readonly logger: Logger
}

/** Owners of one query, and of one message. */
const ownersPerPage = 1_000

/** What one batch has done so far. */
interface Work {
  readonly batch: Batch
  readonly queryRunner: QueryRunner
  readonly fanOuts: FanOut[]
}

/** The stop of the worker, in the middle of a batch. */
class Stopped extends Error {}

/**
 * The handler of the group "cascade": finds the documents that hold the changed rows of a batch, and queues them.
 *
 * It runs after the commit, and looks through the rows as they are then. That suffices: whatever ties a row to its
 * owners is a row or a foreign key of this same database, and when that changes, it makes a message of its own. What
 * the rows do not tell any more (where a child was before, which pair a deleted junction row was) is in the message.
 *
 * A crash at any moment repeats work, and loses none: entries are acknowledged when all owners are in their stream.
 * Messages that a cascade wrote are not followed: the row that they name has not changed, only its document. So
 * entities may embed each other.
 */
export class Cascader {
  readonly #options: CascaderOptions

  constructor(options: CascaderOptions) {
    this.#options = options
  }

  /** Queues the owners of a batch. Rejects when database or Redis are away. */
  readonly handle = async (batch: Batch): Promise<BatchResult> => {
    const { dataSource, paths } = this.#options
    const changed = batch.messages.filter(({ derived }) => !derived)
    if (changed.length === 0) return {}
    // The primary: a replica may be behind the change.
    const queryRunner = dataSource.createQueryRunner('master')
    const work: Work = { batch, queryRunner, fanOuts: [] }
    try {
      for (const path of paths) {
        const starts = startsOf(path, changed, dataSource.driver, (row, error) =>
          this.#tellInvalid(work, path, [row], error),
        )
        await this.#resolve(work, path, starts)
      }
    } catch (error) {
      if (error instanceof Stopped) return { retry: batch.ids }
      throw error
    } finally {
      await queryRunner.release()
    }
    for (const fanOut of work.fanOuts) await fanOut.forget()
    return {}
  }

  /**
   * Queues the owners of some starts. When they do not fit on a page, the starts are looked at in halves, until it is
   * known which of them has so many: only that one is a fan-out, with a cursor of its own.
   */
  async #resolve(work: Work, path: CascadePath, starts: readonly Start[]): Promise<void> {
    const [only] = starts
    if (only === undefined) return
    // The SQL of a composite key grows with their number.
    if (starts.length * path.at.length > ownersPerPage) return this.#resolveHalves(work, path, starts)
    const page = await this.#firstPage(work, path, starts)
    if (page !== undefined && page.next === undefined)
      await this.#queue(work, path, page.keys, page.keys.length)
    else if (starts.length > 1) await this.#resolveHalves(work, path, starts)
    else if (page !== undefined) await this.#fanOut(work, path, only)
  }

  /** Undefined when the database takes one of the starts for no value of its column. */
  async #firstPage(work: Work, path: CascadePath, starts: readonly Start[]): Promise<OwnerPage | undefined> {
    this.#goOn(work)
    const values = starts.map((start) => start.values)
    try {
      return await ownerPage(work.queryRunner, path, values, undefined, ownersPerPage)
    } catch (error) {
      const byDatabase = isRedstreamError(error) && error.code === 'DATABASE'
      if (!byDatabase || !isFaultOfData(error)) throw error
      if (starts.length === 1) this.#tellInvalid(work, path, starts[0]!.rows, error)
      return undefined
    }
  }

  #tellInvalid({ batch }: Work, path: CascadePath, rows: readonly string[], err: unknown): void {
    const facts = { err, stream: batch.stream, rows, path: path.name }
    this.#options.logger.warn(facts, 'no row can have this key, so no document holds it')
  }

  async #resolveHalves(work: Work, path: CascadePath, starts: readonly Start[]): Promise<void> {
    const middle = starts.length >> 1
    await this.#resolve(work, path, starts.slice(0, middle))
    await this.#resolve(work, path, starts.slice(middle))
  }

  /** One changed row, page by page. */
  async #fanOut(work: Work, path: CascadePath, start: Start): Promise<void> {
    const { redis, logger } = this.#options
    const { partition, stream } = work.batch
    const fanOut = new FanOut(redis, partition, `${path.name} ${start.text}`, latestEntry(work.batch, start))
    let { after, done } = await fanOut.reached()
    const facts = { stream, start: start.text, path: path.name }
    if (after !== undefined)
      logger.info({ ...facts, after, done }, 'goes on with the owners of a changed row')
    let owners = 0
    while (!done) {
      this.#goOn(work)
      const page = await ownerPage(work.queryRunner, path, [start.values], after, ownersPerPage)
      await this.#queue(work, path, page.keys, Infinity)
      owners += page.keys.length
      done = page.next === undefined
      after = page.next
      await fanOut.reach({ after, done })
    }
    // Not forgotten yet: if something else of the batch fails, these owners need not be queued again.
    work.fanOuts.push(fanOut)
    logger.info({ ...facts, owners }, 'queued the owners of a changed row')
  }

  /** @param ofLook - how many owners there are in all, as far as is known */
  async #queue(
    { batch }: Work,
    { owner }: CascadePath,
    keys: readonly RowKey[],
    ofLook: number,
  ): Promise<void> {
    batch.activity.begins('queue')
    const messages = keys.map((id) => ({ id, derived: true }) as const)
    await this.#options.writers.get(owner)!.queue(messages, laneOf(batch.lane, ofLook), batch.group)
    batch.activity.advanced()
  }

  #goOn({ batch }: Work): void {
    if (batch.signal.aborted) throw new Stopped()
    batch.activity.begins('load')
  }
}

/** The newest entry that names a row of the start. */
function latestEntry({ entries }: Batch, { rows }: Start): StreamId {
  const wanted = new Set(rows)
  return entries.findLast(({ fields }) => decodeMessages(fields).some(({ id }) => wanted.has(id)))!.id
}
