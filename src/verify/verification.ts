import { partitionOf, type RowKey } from '../capture/row-key.ts'
import type { IndexDefinition } from '../indexed.ts'
import type { FoundDocument } from '../indexing/document-pages.ts'
import { writeAliasOf } from '../indexing/index-names.ts'
import { encodePlace, isMovable } from '../place.ts'
import { deadLetterOf } from '../streams/dead-letters.ts'
import { StreamWriter } from '../streams/stream-writer.ts'
import type { IndexSite } from '../sync/site.ts'
import { spotsOf, straysOf } from './homes.ts'
import { judge } from './judge.ts'
import type { Finding, Look, Spot } from './look.ts'
import type { Looker } from './looker.ts'
import { waitingAfter } from './queue.ts'
import type { Tally } from './report.ts'

/** How differences are judged and what is done about them. */
export interface VerificationOptions {
  /** The index that is compared, not its alias. */
  readonly physical: string
  /** Queue what differs, and check that it is cured. */
  readonly repair: boolean
  /** How long the queue may stand still before a difference counts as in flight, in ms. */
  readonly patienceMs: number
  readonly signal: AbortSignal
}

// Differences are judged together, because each time the queue is waited for. Their looks are all that grows.
const mostSuspects = 5_000
const pagesInFlight = 3
const mostLooks = 6
/** A queue that stood still for as long as it may is waited for no longer than this, in ms, until it has moved again. */
const impatienceMs = 1_000

/**
 * A comparison of rows and documents while both change. Page by page it notes suspects, whose document is not that
 * of their row at that moment; then it waits until the queue has passed them, and looks again.
 *
 * Owns no state outside the process: it may die at any moment, and what it has queued for repair is done all the same.
 */
export class Verification {
  readonly #site: IndexSite
  readonly #looker: Looker
  readonly #tally: Tally
  readonly #options: VerificationOptions
  #suspects: Look[] = []
  #standsStill = false

  constructor(site: IndexSite, looker: Looker, tally: Tally, options: VerificationOptions) {
    this.#site = site
    this.#looker = looker
    this.#tally = tally
    this.#options = options
  }

  /**
   * Compares rows with their documents.
   *
   * @param pages - keys of rows
   * @param alone - no walk over the documents follows: keys whose row is gone must be judged here, and documents counted
   */
  async rows(pages: AsyncIterable<readonly string[]>, { alone }: { readonly alone: boolean }): Promise<void> {
    for await (const some of grouped(pages, pagesInFlight)) {
      this.#options.signal.throwIfAborted()
      const looks = await Promise.all(
        some.map(async (page) => this.#looker.look(alone ? await this.#spots(page) : page.map(rowOf))),
      )
      for (const look of looks.flat()) {
        // It is looked at with its row.
        if (look.spot.place !== undefined && look.hasRow && look.isHome) continue
        if (look.hasRow && look.spot.place === undefined) this.#tally.rows += 1
        if (alone && look.version !== undefined) this.#tally.documents += 1
        if (look.finding !== undefined && (alone || look.hasRow)) this.#suspects.push(look)
      }
      await this.#settle(mostSuspects)
    }
    await this.#settle(1)
  }

  /**
   * Looks for documents without a row.
   *
   * @param onRows - is told the ids that have rows, page by page
   */
  async documents(
    pages: AsyncIterable<readonly FoundDocument[]>,
    onRows: (keys: readonly string[]) => void = () => undefined,
  ): Promise<void> {
    for await (const page of pages) {
      this.#options.signal.throwIfAborted()
      const { strays, rows } = await straysOf(this.#site, page)
      const looks = await this.#looker.look(strays)
      this.#suspects.push(
        ...looks.filter((look) => look.finding !== undefined && !(look.hasRow && look.isHome)),
      )
      this.#tally.documents += page.length
      onRows(rows)
      await this.#settle(mostSuspects)
    }
    await this.#settle(1)
  }

  #spots(keys: readonly RowKey[]): Promise<Spot[]> {
    return spotsOf(this.#site, this.#options.physical, keys)
  }

  /** Judges the suspects when there are so many, counts the differences, and repairs them. */
  async #settle(from: number): Promise<void> {
    if (this.#suspects.length < from) return
    const { differing, undecided } = await this.#decide(this.#suspects)
    this.#suspects = []
    for (const look of undecided) this.#tally.undecided(look)
    const curable: Look[] = []
    for (const look of differing) {
      const finding = await this.#withReason(look)
      this.#tally.found(look, finding)
      if (finding.kind !== 'unindexable') curable.push(look)
    }
    if (!this.#options.repair || curable.length === 0) return
    await this.#queue(curable)
    const left = await this.#decide(curable)
    this.#tally.repaired += curable.length - left.differing.length - left.undecided.length
  }

  /** Looks again, each time after the queue has passed what was there at the look before. */
  async #decide(suspects: readonly Look[]): Promise<{ differing: Look[]; undecided: Look[] }> {
    const { definition, logger } = this.#site
    const differing: Look[] = []
    const undecided: Look[] = []
    let open = suspects
    for (let looks = 2; open.length > 0 && looks <= mostLooks; looks++) {
      const keys = new Set(open.map(({ spot }) => spot.key))
      logger.debug(
        { index: definition.name, rows: keys.size },
        'waiting until the queue has passed what differs',
      )
      const waiting = await this.#waitingAfter(keys)
      this.#options.signal.throwIfAborted()
      const again = await this.#looker.look(open.map(({ spot }) => spot))
      const changing: Look[] = []
      for (const [i, look] of again.entries()) {
        const judgement = judge(open[i]!, look)
        if (judgement === 'in step') continue
        if (waiting.has(look.spot.key)) undecided.push(look)
        else if (judgement === 'differs') differing.push(look)
        else changing.push(look)
      }
      open = changing
    }
    return { differing, undecided: [...undecided, ...open] }
  }

  /** Rows for which messages still wait. Says so once, and is patient once, lest each 5,000 suspects take as long. */
  async #waitingAfter(keys: ReadonlySet<RowKey>): Promise<ReadonlySet<RowKey>> {
    const { patienceMs, signal } = this.#options
    const patience = {
      signal,
      patienceMs: this.#standsStill ? Math.min(patienceMs, impatienceMs) : patienceMs,
    }
    const { keys: waiting, standsStill } = await waitingAfter(this.#site, keys, patience)
    if (standsStill && !this.#standsStill && !signal.aborted) {
      this.#site.logger.warn(
        { index: this.#site.definition.name, patienceMs },
        'the queue stands still, so rows whose messages wait in it count as in flight: no consumer works on them, or ' +
          'a delay message is not due (redstream status)',
      )
    }
    this.#standsStill = standsStill
    return waiting
  }

  /** What is wrong: a dead letter says why, and that queuing the row again would not help. */
  async #withReason({ spot, hasRow, finding }: Look): Promise<Finding> {
    const { redis, partitions } = this.#site
    if (hasRow) {
      const partition = partitions[partitionOf(spot.key, partitions.length)]!
      const letter = await deadLetterOf(redis, partition, spot.key)
      if (letter !== undefined) return { kind: 'unindexable', reason: `${letter.type}: ${letter.reason}` }
    }
    return finding!
  }

  /**
   * Queues rows to be indexed again; then what they have left behind is deleted, and what belongs to those that are
   * gone. A document that no row leads to is deleted at once, if it is still the one that was looked at.
   */
  async #queue(looks: readonly Look[]): Promise<void> {
    const { redis, partitions, client, definition } = this.#site
    const foreign = looks.filter(({ spot }) => !isReached(definition, spot))
    if (foreign.length > 0) {
      await client.bulk({
        index: writeAliasOf(this.#options.physical),
        require_alias: true,
        operations: foreign.map(({ spot, place: { id: _id, routing } = { id: spot.key }, revision }) => ({
          delete: { _id, ...(routing !== undefined && { routing }), ...revision },
        })),
      })
    }
    const keys = new Set(looks.flatMap(({ spot: { key, isKey } }) => (isKey ? [key] : [])))
    const messages = Array.from(keys, (id) => ({ id }))
    await new StreamWriter(redis, partitions).publish(messages, 'bulk')
  }
}

function rowOf(key: RowKey): Spot {
  return { key, isKey: true }
}

/** Whether indexing the row anew mends what is there: elsewhere than at their keys, only documents that move are looked for. */
function isReached(definition: IndexDefinition, { key, place, isKey }: Spot): boolean {
  return (
    isKey && (isMovable(definition) || place === undefined || encodePlace(place) === encodePlace({ id: key }))
  )
}

async function* grouped<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let group: T[] = []
  for await (const item of items) {
    group.push(item)
    if (group.length < size) continue
    yield group
    group = []
  }
  if (group.length > 0) yield group
}
