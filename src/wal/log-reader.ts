import type { ChangeMessages } from '../capture/change-messages.ts'
import type { RowChange } from '../capture/changes.ts'
import { mostInMainLane } from '../capture/transaction-capture.ts'
import type { WatchedTable } from '../capture/watched-table.ts'
import type { StreamDefinition } from '../indexed.ts'
import { LogBatch } from './log-batch.ts'
import type { LogMessage } from './log-plugin.ts'
import type { LogTables } from './log-tables.ts'
import type { Lsn } from './lsn.ts'
import { StreamedTransaction } from './streamed-transaction.ts'

export interface LogReaderOptions {
  readonly messages: ChangeMessages
  readonly tables: LogTables
  /** Streams and tables, to name them by their places in what is written to a file. */
  readonly definitions: readonly StreamDefinition[]
  readonly watched: readonly WatchedTable[]
  /** Is told of a change whose row cannot be named, which nobody will index. */
  readonly onUnreadable: (definition: StreamDefinition, change: RowChange) => void
}

/** So many messages are published together; with more, the log is not read on. */
const mostInBatch = 5_000

/** Counts the rows of a transaction, of which the first go to the main lane. */
export class LaneChoice {
  readonly #rows = new Map<StreamDefinition, number>()

  /** Where the next message of the transaction goes. */
  next(definition: StreamDefinition): 'main' | 'bulk' {
    const rows = (this.#rows.get(definition) ?? 0) + 1
    this.#rows.set(definition, rows)
    return rows > mostInMainLane ? 'bulk' : 'main'
  }
}

/**
 * Puts together what the log tells into batches to publish.
 *
 * A transaction that is told after its commit goes into the batch at once. One that is streamed before it is kept by
 * itself, and goes into the batch with its commit. The position of a batch is the end of its last commit, or what a
 * keep-alive says between transactions: everything up to there is in this batch or in one before. Transactions that are
 * still open do not hold it back, for the server keeps their log until they end.
 */
export class LogReader {
  readonly #options: LogReaderOptions
  #batch = new LogBatch()
  /** The transaction between its begin and its commit. */
  #open: { readonly xid: number; readonly lanes: LaneChoice } | undefined
  readonly #streamed = new Map<number, StreamedTransaction>()
  /** The one whose block is being told. */
  #block: StreamedTransaction | undefined

  constructor(options: LogReaderOptions) {
    this.#options = options
  }

  /** Whether it should not be given more before a batch is taken. */
  get isFull(): boolean {
    return this.#batch.size >= mostInBatch
  }

  /** What can be published now; undefined when there is nothing. */
  take(): LogBatch | undefined {
    const batch = this.#batch
    if (batch.position === undefined && !this.isFull) return undefined
    this.#batch = new LogBatch()
    // The rest of the transaction needs no second look at whether its commit is visible, but costs none either.
    if (this.#open !== undefined) this.#batch.xids.add(this.#open.xid)
    return batch
  }

  /** The server says that it has told everything up to here. */
  keepAlive(position: Lsn): void {
    if (this.#open === undefined && this.#block === undefined) this.#reach(position)
  }

  /** @throws when the message cannot be read */
  read(message: LogMessage): void {
    switch (message.kind) {
      case 'begin':
        this.#open = { xid: message.xid, lanes: new LaneChoice() }
        return
      case 'commit':
        this.#open = undefined
        this.#reach(message.end)
        return
      case 'change':
        this.#change(message)
        return
      case 'block': {
        const known = this.#streamed.get(message.xid)
        this.#block = known ?? new StreamedTransaction(message.xid)
        this.#streamed.set(message.xid, this.#block)
        return
      }
      case 'block end':
        this.#block = undefined
        return
      case 'block commit':
        this.#commitStreamed(message.xid)
        this.#reach(message.end)
        return
      case 'block abort':
        this.#abort(message.xid, message.savepoint)
        return
      case 'other':
        return
      case 'broken':
        throw message.error
    }
  }

  /** Forgets the transactions that are not committed; the slot tells them again. */
  end(): void {
    for (const transaction of [...this.#streamed.values(), ...this.#batch.streamed]) transaction.end()
    this.#streamed.clear()
  }

  #change({ change, xid }: Extract<LogMessage, { kind: 'change' }>): void {
    const { tables, watched } = this.#options
    if (change.tag === 'relation') {
      tables.describe(change)
      return
    }
    if (change.tag === 'truncate') {
      for (const table of tables.truncated(change)) {
        if (this.#block === undefined) this.#batchOfOpen().truncated.add(table)
        else this.#block.truncated.add(watched.indexOf(table))
      }
      return
    }
    for (const one of tables.changes(change)) this.#row(one, xid)
  }

  #row(change: RowChange, savepoint: number | undefined): void {
    const { messages, definitions, onUnreadable } = this.#options
    for (const { definition, message } of messages.told([change])) {
      if (message === undefined) onUnreadable(definition, change)
      else if (this.#block === undefined) {
        const lane = this.#open?.lanes.next(definition) ?? 'main'
        this.#batchOfOpen().add(definition, lane, message)
      } else this.#block.add(savepoint ?? this.#block.xid, definitions.indexOf(definition), message)
    }
  }

  #batchOfOpen(): LogBatch {
    if (this.#open !== undefined) this.#batch.xids.add(this.#open.xid)
    return this.#batch
  }

  #commitStreamed(xid: number): void {
    const transaction = this.#streamed.get(xid)
    if (transaction === undefined) return
    this.#streamed.delete(xid)
    this.#batch.xids.add(xid)
    this.#batch.streamed.push(transaction)
    for (const place of transaction.truncated) this.#batch.truncated.add(this.#options.watched[place]!)
  }

  #abort(xid: number, savepoint: number): void {
    const transaction = this.#streamed.get(xid)
    if (savepoint !== xid) {
      transaction?.undo(savepoint)
      return
    }
    transaction?.end()
    this.#streamed.delete(xid)
  }

  #reach(position: Lsn): void {
    const { position: before } = this.#batch
    if (before === undefined || position > before) this.#batch.position = position
  }
}
