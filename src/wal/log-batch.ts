import type { WatchedTable } from '../capture/watched-table.ts'
import type { StreamDefinition } from '../indexed.ts'
import type { Lane } from '../streams/keys.ts'
import { mergeMessages, type Message } from '../streams/message.ts'
import type { Lsn } from './lsn.ts'
import type { StreamedTransaction } from './streamed-transaction.ts'

/** What is published together: changes of committed transactions, as many as came while the batch before was published. */
export class LogBatch {
  /** Up to where the log is told when the batch is published; undefined: it ends within a transaction. */
  position: Lsn | undefined
  /** The transactions; their commits must be visible before anything is published. */
  readonly xids = new Set<number>()
  readonly truncated = new Set<WatchedTable>()
  readonly streamed: StreamedTransaction[] = []
  /** Messages in it. */
  size = 0
  readonly #messages = new Map<StreamDefinition, Record<Lane, Map<string, Message>>>()

  /** Several changes of a row are one message. */
  add(definition: StreamDefinition, lane: Lane, message: Message): void {
    let ofStream = this.#messages.get(definition)
    if (ofStream === undefined) {
      ofStream = { main: new Map(), bulk: new Map() }
      this.#messages.set(definition, ofStream)
    }
    const rows = ofStream[lane]
    const earlier = rows.get(message.id)
    if (earlier === undefined) this.size += 1
    rows.set(message.id, earlier === undefined ? message : mergeMessages(earlier, message))
  }

  /** The messages by stream and lane. */
  *pages(): Generator<{ definition: StreamDefinition; lane: Lane; messages: Message[] }> {
    for (const [definition, { main, bulk }] of this.#messages) {
      if (main.size > 0) yield { definition, lane: 'main', messages: [...main.values()] }
      if (bulk.size > 0) yield { definition, lane: 'bulk', messages: [...bulk.values()] }
    }
  }
}
