import type { IndexDefinition } from '../indexed.ts'
import type { Message } from '../streams/message.ts'
import type { DelayEntry, StreamWriter } from '../streams/stream-writer.ts'
import { TransactionBuffer } from './transaction-buffer.ts'

/** The writer of each indexed entity's stream. */
export type Writers = ReadonlyMap<IndexDefinition, StreamWriter>

/** Delay entries of `bulk` calls, and for each call the keys that they stand for. */
interface Adopted {
  readonly entries: DelayEntry[]
  readonly keys: Set<ReadonlySet<string>>
}

const flushEveryMs = 2

/**
 * Moves the delay entries of a finished `bulk` to the bulk lane. When the Delayer was faster, because the write took
 * longer than the delay, consumers may have read the rows too early: then their keys are published again.
 */
export async function moveOrPublish(
  writer: StreamWriter,
  entries: readonly DelayEntry[],
  keys: readonly ReadonlySet<string>[],
): Promise<void> {
  const gone = await writer.move(entries, 'bulk')
  if (gone === 0) return
  for (const ofCall of keys)
    await writer.publish(
      Array.from(ofCall, (id) => ({ id })),
      'bulk',
    )
}

/**
 * One transaction as the streams see it.
 *
 * Delay messages are written as soon as a change is announced, while the database works on; `announced` waits until
 * Redis has all of them. `publish` and `discard` end it. When this process dies in between, the delay messages stay
 * and the Delayer re-queues them.
 */
export class TransactionCapture {
  /** True once the hook before the commit has begun: a change that is noted later must be waited for by whoever notes it. */
  closing = false
  /** True once the commit may have been sent to the database: from then on delay messages are never deleted unpublished. */
  committing = false
  /** True when Redis did not take a delay message: then only the publish can bring the changes into the index. */
  unannounced = false
  readonly buffer = new TransactionBuffer<IndexDefinition, Message>()
  readonly #writers: Writers
  readonly #announced = new Map<IndexDefinition, Set<string>>()
  readonly #entries = new Map<IndexDefinition, DelayEntry[]>()
  readonly #adopted = new Map<IndexDefinition, Adopted>()
  readonly #toWrite = new Map<IndexDefinition, Message[]>()
  #writes: Promise<unknown>[] = []
  #lastFlush = -Infinity

  constructor(writers: Writers) {
    this.#writers = writers
  }

  /** A change that is about to happen or has happened: its delay message is written once per row and transaction. */
  announce(definition: IndexDefinition, message: Message): void {
    const known = this.#announced.get(definition) ?? new Set()
    this.#announced.set(definition, known)
    if (known.has(message.id)) return
    known.add(message.id)
    const waiting = this.#toWrite.get(definition)
    if (waiting !== undefined) {
      waiting.push(message)
      return
    }
    this.#toWrite.set(definition, [message])
    this.#scheduleFlush(definition)
  }

  /** A change that the commit makes true. */
  record(definition: IndexDefinition, message: Message): void {
    this.announce(definition, message)
    this.buffer.add(definition, message.id, message)
  }

  /**
   * Delay entries that somebody else wrote for rows of this transaction (`bulk`); the commit moves them to the bulk lane.
   *
   * @param keys - the rows that they stand for, as far as they are remembered
   */
  adopt(definition: IndexDefinition, entries: readonly DelayEntry[], keys: ReadonlySet<string>): void {
    const adopted = this.#adopted.get(definition) ?? { entries: [], keys: new Set() }
    this.#adopted.set(definition, adopted)
    for (const entry of entries) adopted.entries.push(entry)
    adopted.keys.add(keys)
  }

  /** Resolves when Redis has every delay message. */
  async announced(): Promise<void> {
    for (const definition of this.#toWrite.keys()) this.#flush(definition)
    await Promise.all(this.#writes)
  }

  /** After the commit: one script per stream partition adds the messages and deletes the delay messages. */
  async publish(keepDelayed: boolean): Promise<void> {
    await Promise.allSettled(this.#writes)
    const changes = this.buffer.changes()
    const definitions = new Set([...changes.keys(), ...this.#entries.keys()])
    await Promise.all([
      ...[...definitions].map((definition) =>
        this.#writer(definition).publish(
          [...(changes.get(definition)?.values() ?? [])],
          'main',
          keepDelayed ? [] : (this.#entries.get(definition) ?? []),
        ),
      ),
      ...[...this.#adopted].map(([definition, { entries, keys }]) =>
        moveOrPublish(this.#writer(definition), entries, [...keys]),
      ),
    ])
  }

  /** After a rollback: the delay messages are needless. */
  async discard(): Promise<void> {
    this.#toWrite.clear()
    await Promise.allSettled(this.#writes)
    const adopted = [...this.#adopted].map(([definition, { entries }]) => [definition, entries] as const)
    await Promise.all(
      [...this.#entries, ...adopted].map(([definition, entries]) =>
        this.#writer(definition).discard(entries),
      ),
    )
  }

  /**
   * TypeORM calls the hooks of all rows of a statement one after the other: they go in one command. The statements of
   * a long transaction share one every few milliseconds, because each command costs the application as much time as
   * many ids.
   */
  #scheduleFlush(definition: IndexDefinition): void {
    const flush = (): void => this.#flush(definition)
    const now = performance.now()
    if (now - this.#lastFlush < flushEveryMs) setTimeout(flush, flushEveryMs)
    else queueMicrotask(flush)
    this.#lastFlush = now
  }

  #flush(definition: IndexDefinition): void {
    const messages = this.#toWrite.get(definition)
    if (messages === undefined) return
    this.#toWrite.delete(definition)
    const write = this.#writer(definition)
      .delay(messages)
      .then((written) => {
        const entries = this.#entries.get(definition) ?? []
        this.#entries.set(definition, entries)
        entries.push(...written)
      })
    // Whoever awaits `announced` hears of the failure; until then it must not count as unhandled.
    write.catch(() => {
      this.unannounced = true
    })
    this.#writes.push(write)
  }

  #writer(definition: IndexDefinition): StreamWriter {
    return this.#writers.get(definition)!
  }
}
