import { z } from 'zod'

import type { Logger } from '../runtime/logger.ts'
import type { Activity } from '../runtime/progress.ts'
import type { Partition } from './keys.ts'
import { runScript, type RedisClient } from './scripts.ts'
import { parseStreamId, streamIdMs, type StreamId } from './stream-id.ts'
import {
  fateOfDelayed,
  hasId,
  suspectsAfter,
  type TransactionState,
  type TransactionStates,
  type TransactionText,
} from './transaction.ts'

export interface InquiryOptions {
  readonly redis: RedisClient
  readonly partitions: readonly Partition[]
  readonly transactions: TransactionStates
  /** Age in ms at which an entry is re-queued of whose transaction the database knows nothing. */
  readonly delayMs: number
  readonly logger: Logger
}

/** What one pass has done. */
export interface InquiryPass {
  /** Messages moved to the main lane. */
  readonly moved: number
  /** Entries deleted. */
  readonly discarded: number
}

/** A publish takes some milliseconds; an entry that stays for longer is worth a question. */
const askAfterMs = 1_000
/** Each may hold hundreds of messages. */
const entriesPerLook = 50
const entriesPerMove = 10
const entriesPerDelete = 1_000
const transactionsPerQuestion = 1_000
/** Entries of open transactions that are kept in mind for a partition; with more, the others wait for their turn. */
const mostWaiting = 100_000
/** Then it begins anew, so that nothing depends for long on what it has in mind: Redis may have lost the stream. */
const forgetAfterMs = 60_000

const namedReply = z.tuple([z.number(), z.string(), z.number()]).rest(z.string())
const movedReply = z.tuple([z.number(), z.number(), z.string()])

/** A transaction that delay entries wait for; those that one look finds share it. */
interface Awaited {
  readonly transaction: TransactionText
  /** Where it has no id: which it may be, see {@link suspectsAfter}. */
  suspects: ReadonlySet<string> | undefined
}

/** One partition as far as it was looked at. */
interface Watched {
  readonly partition: Partition
  /** What the entries wait for whose publish has not come. */
  readonly waiting: Map<StreamId, Awaited>
  /** The same before it began anew: an entry that is found again is suspected of no more than before. */
  readonly before: ReadonlyMap<StreamId, Awaited>
  /** The last entry that was looked at; '' before the first. */
  last: string
  /** Redis' clock at the last look, in ms. */
  nowMs: number
}

/**
 * Asks the database what became of the transactions of delay entries whose publish has not come: those of committed ones
 * are re-queued, those of aborted ones deleted, and those of open ones stay, however old they are. Entries that do not
 * say which transaction it is are re-queued when all have ended that it may be.
 *
 * State: which entries wait for which transactions, in memory, so that an entry of a long transaction is read once a
 * minute rather than once a second. Any number may ask side by side: an entry is moved or deleted in one step, and
 * whoever comes second finds nothing.
 */
export class Inquiry {
  readonly #options: InquiryOptions
  #watched: readonly Watched[] = []
  #forgetAt = -Infinity
  /** Transactions that are open for longer than the delay, as far as was said. */
  #long = new Set<TransactionText>()

  constructor(options: InquiryOptions) {
    this.#options = options
  }

  /**
   * Looks for entries that are older than a second, and asks once for all of them.
   *
   * @param activity - is told of each step: those that need Redis, and those that need the database
   */
  async pass(activity: Activity): Promise<InquiryPass> {
    if (performance.now() >= this.#forgetAt) this.#forget()
    const found = new Map<TransactionText, Awaited>()
    for (const watched of this.#watched) await this.#look(watched, found, activity)
    const states = await this.#ask(activity)
    await this.#suspect(activity)
    activity.advanced()
    this.#tellLong(states)
    let moved = 0
    let discarded = 0
    for (const watched of this.#watched) {
      const fates = this.#fatesOf(watched, states)
      moved += await this.#requeue(watched, fates.requeue, activity)
      discarded += await this.#discard(watched, fates.discard, activity)
    }
    return { moved, discarded }
  }

  #forget(): void {
    const { partitions } = this.#options
    this.#watched = partitions.map((partition, i) => {
      const before = this.#watched[i]?.waiting ?? new Map<StreamId, Awaited>()
      return { partition, waiting: new Map(), before, last: '', nowMs: 0 }
    })
    this.#forgetAt = performance.now() + forgetAfterMs
  }

  /** Learns of the entries that have come to the age since the last look. */
  async #look(watched: Watched, awaited: Map<TransactionText, Awaited>, activity: Activity): Promise<void> {
    let more = 1
    while (more === 1 && watched.waiting.size < mostWaiting) {
      activity.begins('requeue')
      const { delay } = watched.partition.keys
      const args = [askAfterMs, watched.last, entriesPerLook]
      const reply = await runScript(this.#options.redis, 'named', [delay], args)
      const [nowMs, last, mayBeMore, ...found] = namedReply.parse(reply)
      for (let i = 0; i + 1 < found.length; i += 2) {
        const entry = parseStreamId(found[i]!)
        const transaction = found[i + 1] as TransactionText
        const known = watched.before.get(entry) ?? awaited.get(transaction)
        const one = known ?? { transaction, suspects: undefined }
        if (known === undefined) awaited.set(transaction, one)
        watched.waiting.set(entry, one)
      }
      watched.nowMs = nowMs
      watched.last = last
      more = mayBeMore
    }
  }

  async #ask(activity: Activity): Promise<Map<TransactionText, TransactionState>> {
    const asked = new Set([...this.#awaited].map(({ transaction }) => transaction).filter(hasId))
    const states = new Map<TransactionText, TransactionState>()
    for (const some of chunks([...asked], transactionsPerQuestion)) {
      activity.begins('ask')
      for (const [transaction, state] of await this.#options.transactions.of(some))
        states.set(transaction, state)
    }
    return states
  }

  /** Looks which transactions are open, where entries do not say which one they belong to. */
  async #suspect(activity: Activity): Promise<void> {
    const anonymous = [...this.#awaited].filter(({ transaction }) => !hasId(transaction))
    if (anonymous.length === 0) return
    activity.begins('ask')
    const open = await this.#options.transactions.open()
    for (const one of anonymous) one.suspects = suspectsAfter(one.transaction, one.suspects, open)
  }

  get #awaited(): Set<Awaited> {
    return new Set(this.#watched.flatMap(({ waiting }) => [...waiting.values()]))
  }

  #fatesOf(
    { waiting, nowMs }: Watched,
    states: ReadonlyMap<TransactionText, TransactionState>,
  ): Record<'requeue' | 'discard' | 'leave', StreamId[]> {
    const fates = { requeue: [] as StreamId[], discard: [] as StreamId[], leave: [] as StreamId[] }
    for (const [entry, { transaction, suspects }] of waiting) {
      const state = suspects?.size === 0 ? 'ended' : (states.get(transaction) ?? 'unknown')
      fates[fateOfDelayed(state, nowMs - streamIdMs(entry), this.#options.delayMs)].push(entry)
    }
    return fates
  }

  async #requeue(
    { partition: { keys }, waiting }: Watched,
    entries: readonly StreamId[],
    activity: Activity,
  ): Promise<number> {
    let moved = 0
    for (const some of chunks(entries, entriesPerMove)) {
      activity.begins('requeue')
      const reply = await runScript(this.#options.redis, 'requeue', [keys.delay, keys.main], ['ids', ...some])
      const [messages] = movedReply.parse(reply)
      moved += messages
      for (const entry of some) waiting.delete(entry)
      activity.advanced()
    }
    return moved
  }

  async #discard(
    { partition: { keys }, waiting }: Watched,
    entries: readonly StreamId[],
    activity: Activity,
  ): Promise<number> {
    let discarded = 0
    for (const some of chunks(entries, entriesPerDelete)) {
      activity.begins('requeue')
      discarded += await this.#options.redis.xdel(keys.delay, ...some)
      for (const entry of some) waiting.delete(entry)
      activity.advanced()
    }
    return discarded
  }

  /** Says once of each transaction that it has been open for longer than the delay. */
  #tellLong(states: ReadonlyMap<TransactionText, TransactionState>): void {
    const { delayMs, logger } = this.#options
    const long = new Set<TransactionText>()
    for (const { waiting, nowMs } of this.#watched) {
      for (const [entry, { transaction }] of waiting) {
        const isOld = nowMs - streamIdMs(entry) >= delayMs
        if (isOld && states.get(transaction) === 'in progress') long.add(transaction)
      }
    }
    for (const transaction of long) {
      if (this.#long.has(transaction)) continue
      logger.warn(
        { transaction },
        'a transaction has been open for longer than the setting delay; its delay messages stay until it ends (docs/operations.md, "A transaction that does not end")',
      )
    }
    this.#long = long
  }
}

function* chunks<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size)
}
