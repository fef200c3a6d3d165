import type { StreamDefinition } from '../indexed.ts'
import { mergeMessages, type Message } from '../streams/message.ts'
import { messagesPerDelayEntry, type DelayEntry, type StreamWriter } from '../streams/stream-writer.ts'
import type { TransactionText } from '../streams/transaction.ts'
import { TransactionBuffer } from './transaction-buffer.ts'

/** Says which transaction this is. */
export interface Identity {
  /** A transaction that is open: without its id, and without a question. */
  readonly some: TransactionText
  /** Asks the database; undefined when it cannot say. Rejects when the transaction has failed with that. */
  ask(): Promise<TransactionText | undefined>
}

/** The writer of each stream. */
export type Writers = ReadonlyMap<StreamDefinition, StreamWriter>

/** Delay entries that the commit moves to the bulk lane, and the messages that they stand for. */
interface ForBulkLane {
  readonly entries: DelayEntry[]
  /** Of `bulk` calls: as far as they are remembered, which they learn while they run. */
  readonly keys: Set<ReadonlySet<string>>
  /** Pages of messages as JSON: a million of them in some 20 MB. */
  readonly pages: string[]
}

/**
 * So many rows of an entity, one batch of a consumer by default, may go before a user's own edit in the main lane. What a
 * transaction changes beyond that goes to the bulk lane.
 */
export const mostInMainLane = 1_000

/**
 * A transaction that commits within this time does not ask for its id. Shorter than any sensible delay by far, because
 * the Delayer may take messages without it by their age.
 */
const youngMs = 1_000

/** Messages of a transaction that names itself which are on their way to Redis at the same time. */
const mostAtOnce = 10 * messagesPerDelayEntry

/**
 * Moves delay entries to the bulk lane. When the Delayer was faster, because the write took longer than the delay,
 * consumers may have read the rows too early: then their messages are published again.
 *
 * @param messages - what the entries stand for, page by page
 */
export async function moveOrPublish(
  writer: StreamWriter,
  entries: readonly DelayEntry[],
  messages: Iterable<readonly Message[]>,
): Promise<void> {
  const gone = await writer.move(entries, 'bulk')
  if (gone > 0) await publishPages(writer, messages)
}

async function publishPages(writer: StreamWriter, pages: Iterable<readonly Message[]>): Promise<void> {
  for (const page of pages) await writer.publish(page, 'bulk')
}

/**
 * One transaction as the streams see it.
 *
 * The delay messages of the first statement are written as soon as they are announced, while the database works on, so
 * that a single save waits for little; those of later statements wait for a full entry or for the commit, because each
 * command costs the application as much time as many ids. `announced` waits until Redis has all of them. `publish` and
 * `discard` end it. When this process dies in between, the delay messages stay and the Delayer re-queues them.
 */
export class TransactionCapture {
  /** True when Redis did not take a delay message: then only the publish can bring the changes into the index. */
  unannounced = false
  readonly buffer = new TransactionBuffer<StreamDefinition, Message>(mergeInTransaction)
  readonly #writers: Writers
  readonly #announced = new Map<StreamDefinition, Set<string>>()
  readonly #entries = new Map<StreamDefinition, DelayEntry[]>()
  /** Entries that say all that those in {@link #entries} do, and which transaction it is. */
  readonly #named = new Map<StreamDefinition, DelayEntry[]>()
  readonly #forBulkLane = new Map<StreamDefinition, ForBulkLane>()
  readonly #toWrite = new Map<StreamDefinition, Message[]>()
  readonly #written = new Set<StreamDefinition>()
  readonly #identity: Identity | undefined
  /** What delay messages say of their transaction. */
  #transaction: TransactionText | undefined
  /** When the first delay message left that does not say which one it is, as long as that is not made good. */
  #anonymousAt: number | undefined
  #writes: Promise<unknown>[] = []
  #lastPage: Promise<void> | undefined
  #unanswered = 0

  /** @param identity - default: nobody can say which transaction this is */
  constructor(writers: Writers, identity?: Identity) {
    this.#writers = writers
    this.#identity = identity
    this.#transaction = identity?.some
  }

  /** A change that is about to happen or has happened: its delay message is written once per row (and former keys) and transaction. */
  announce(definition: StreamDefinition, message: Message): void {
    const known = this.#announced.get(definition) ?? new Set()
    this.#announced.set(definition, known)
    if (!learns(known, message)) return
    const waiting = this.#toWrite.get(definition)
    if (waiting === undefined) {
      const isFirst = !this.#written.has(definition)
      this.#toWrite.set(definition, [message])
      // TypeORM calls the hooks of all rows of a statement one after the other: they go in one command.
      if (isFirst) queueMicrotask(() => this.#flush(definition))
      return
    }
    waiting.push(message)
    if (waiting.length === messagesPerDelayEntry) this.#flush(definition)
  }

  /** A change that the commit makes true. */
  record(definition: StreamDefinition, message: Message): void {
    this.announce(definition, message)
    this.buffer.add(definition, message.id, message)
  }

  /**
   * A change that the commit makes true, told by its statement. An event may tell of it too, before or after, and only
   * that one has the payload: so its delay message waits for it, at most until {@link announced}.
   */
  note(definition: StreamDefinition, message: Message): void {
    this.buffer.add(definition, message.id, message)
    if (definition.options.payload === undefined) this.announce(definition, message)
  }

  /**
   * Delay entries that somebody else wrote for rows of this transaction (`bulk`); the commit moves them to the bulk lane.
   *
   * @param keys - the rows that they stand for, as far as they are remembered
   */
  adopt(definition: StreamDefinition, entries: readonly DelayEntry[], keys: ReadonlySet<string>): void {
    const adopted = this.#bulkLaneOf(definition)
    for (const entry of entries) adopted.entries.push(entry)
    adopted.keys.add(keys)
  }

  /**
   * Changes of many rows that the commit makes true, a page at a time. Their delay messages are written at once, and the
   * commit moves them to the bulk lane, so that neither this process' memory nor the main lane is filled with them. A
   * savepoint that is rolled back does not take them back: its rows are read again as they are.
   */
  async recordPage(definition: StreamDefinition, messages: readonly Message[]): Promise<void> {
    const { entries, pages } = this.#bulkLaneOf(definition)
    pages.push(JSON.stringify(messages))
    if (this.unannounced) return
    await this.#ask()
    const write = this.#writer(definition)
      .delay(messages, this.#transaction)
      .then((written) => void entries.push(...written))
    this.#keep(write)
    // This page travels while the next one is made. A failure is told by `announced`: whether it is one, the setting
    // `onUnavailable` decides.
    const before = this.#lastPage
    this.#lastPage = write.catch(() => undefined)
    await before
  }

  /**
   * Learns which transaction this is, when it is old: to be called before {@link announced}.
   *
   * @throws the database's error, with which the transaction has failed
   */
  async identified(): Promise<void> {
    if (this.#mustBeNamed) await this.#ask()
  }

  /** Resolves when Redis has every delay message. */
  async announced(): Promise<void> {
    for (const [definition, rows] of this.buffer.changes()) {
      for (const message of rows.values()) this.announce(definition, message)
    }
    for (const definition of this.#toWrite.keys()) this.#flush(definition)
    if (this.#mustBeNamed && !this.#isAnonymous) await this.#writeNamed()
    await Promise.all(this.#writes)
  }

  /** How many rows the commit publishes, as far as they are counted: pages of the bulk lane by their entries. */
  get rows(): number {
    let rows = 0
    for (const ofDefinition of this.buffer.changes().values()) rows += ofDefinition.size
    for (const { entries } of this.#forBulkLane.values()) rows += entries.length * messagesPerDelayEntry
    return rows
  }

  /**
   * After the commit: one script per stream partition adds the messages and deletes the delay messages. When Redis has
   * answered everything before, its commands leave in the tick of this call.
   */
  async publish(keepDelayed: boolean): Promise<void> {
    if (this.#unanswered > 0) await Promise.allSettled(this.#writes)
    const changes = this.buffer.changes()
    const definitions = new Set([...changes.keys(), ...this.#entries.keys()])
    await Promise.all([
      ...[...definitions].map((definition) => {
        const writer = this.#writer(definition)
        const messages = [...(changes.get(definition)?.values() ?? [])]
        const entries = this.#entries.get(definition) ?? []
        const named = this.#named.get(definition)
        const lane = messages.length > mostInMainLane ? 'bulk' : 'main'
        // Many keys need not be sent once more, unless a later change of a row has another payload than was announced.
        // Rows that a savepoint has taken back are moved too: they are read as they are.
        const isAnnounced = !this.unannounced && !this.#toWrite.has(definition)
        const saysAll = isAnnounced && definition.options.payload === undefined
        if (lane === 'main' || keepDelayed || !saysAll)
          return writer.publish(messages, lane, keepDelayed ? [] : [...entries, ...(named ?? [])])
        if (named === undefined) return moveOrPublish(writer, entries, [messages])
        return Promise.all([moveOrPublish(writer, named, [messages]), writer.discard(entries)])
      }),
      ...[...this.#forBulkLane].map(([definition, waiting]) => {
        const writer = this.#writer(definition)
        // What Redis did not take has no entry to move.
        if (this.unannounced) return publishPages(writer, messagesIn(waiting))
        return moveOrPublish(writer, waiting.entries, messagesIn(waiting))
      }),
    ])
  }

  /** After a rollback: the delay messages are needless. */
  async discard(): Promise<void> {
    this.#toWrite.clear()
    await Promise.allSettled(this.#writes)
    const adopted = [...this.#forBulkLane].map(([definition, { entries }]) => [definition, entries] as const)
    await Promise.all(
      [...this.#entries, ...this.#named, ...adopted].map(([definition, entries]) =>
        this.#writer(definition).discard(entries),
      ),
    )
  }

  /** Writes every delay message once more, with the id of the transaction. */
  async #writeNamed(): Promise<void> {
    this.#anonymousAt = undefined
    const changes = this.buffer.changes()
    // Before the first `await`: what is written from now on is named too, and must be kept beside these.
    for (const definition of changes.keys()) this.#named.set(definition, [])
    for (const [definition, rows] of changes) {
      const messages = [...rows.values()]
      // One page after the other: each has Redis' whole timeout for itself.
      for (let start = 0; start < messages.length; start += mostAtOnce)
        await this.#write(definition, messages.slice(start, start + mostAtOnce))
    }
  }

  /** Whether delay messages that do not say which transaction this is are too old for a commit. */
  get #mustBeNamed(): boolean {
    return this.#anonymousAt !== undefined && performance.now() - this.#anonymousAt >= youngMs
  }

  /** Whether it is not known, but could be, which transaction this is. */
  get #isAnonymous(): boolean {
    return this.#identity !== undefined && this.#transaction === this.#identity.some
  }

  async #ask(): Promise<void> {
    if (this.#isAnonymous) this.#transaction = (await this.#identity?.ask()) ?? this.#transaction
  }

  #flush(definition: StreamDefinition): void {
    const messages = this.#toWrite.get(definition)
    if (messages === undefined) return
    this.#toWrite.delete(definition)
    this.#written.add(definition)
    if (this.#isAnonymous) this.#anonymousAt ??= performance.now()
    void this.#write(definition, messages)
  }

  /** A failure is told by {@link announced}. */
  #write(definition: StreamDefinition, messages: readonly Message[]): Promise<void> {
    const entries = this.#named.get(definition) ?? this.#entries.get(definition) ?? []
    if (!this.#named.has(definition)) this.#entries.set(definition, entries)
    const write = this.#writer(definition)
      .delay(messages, this.#transaction)
      .then((written) => void entries.push(...written))
    this.#keep(write)
    return write
  }

  #keep(write: Promise<void>): void {
    this.#writes.push(write)
    this.#unanswered++
    // Whoever awaits `announced` hears of the failure; until then it must not count as unhandled.
    write.then(
      () => void this.#unanswered--,
      () => {
        this.#unanswered--
        this.unannounced = true
      },
    )
  }

  #bulkLaneOf(definition: StreamDefinition): ForBulkLane {
    const known = this.#forBulkLane.get(definition)
    if (known !== undefined) return known
    const made: ForBulkLane = { entries: [], keys: new Set(), pages: [] }
    this.#forBulkLane.set(definition, made)
    return made
  }

  #writer(definition: StreamDefinition): StreamWriter {
    return this.#writers.get(definition)!
  }
}

/** Notes a message in what is known of its transaction; false when all of it was known. */
function learns(known: Set<string>, { id, before = [], places = [] }: Message): boolean {
  const sizeBefore = known.size
  known.add(id)
  // What a row no longer refers to must be in Redis too, also when it is known that the row changes.
  for (const former of before) known.add(`${id} ${former}`)
  for (const former of places) known.add(`${id} ${former}`)
  return known.size > sizeBefore
}

function* messagesIn({ keys, pages }: ForBulkLane): Generator<Message[]> {
  for (const ofCall of keys) yield Array.from(ofCall, (id) => ({ id }))
  for (const page of pages) yield JSON.parse(page) as Message[]
}

/** The statement of a write has no payload, and its event, which has it, may come first. */
export function mergeInTransaction(earlier: Message, later: Message): Message {
  const merged = mergeMessages(earlier, later)
  const { payload = earlier.payload } = merged
  return payload === undefined ? merged : { ...merged, payload }
}
