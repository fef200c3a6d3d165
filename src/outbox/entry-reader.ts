import type { QueryRunner } from 'typeorm'

import type { ChangeMessages } from '../capture/change-messages.ts'
import type { StreamDefinition } from '../indexed.ts'
import type { Lane } from '../streams/keys.ts'
import type { Message } from '../streams/message.ts'
import { laneOf, messagesIn, type OutboxEntry } from './entry.ts'
import type { TableChanges } from './table-changes.ts'

/** What an entry says, stream by stream. */
export interface EntryMessages {
  /** Where its writer wants them; undefined: whoever publishes decides by their number. */
  readonly lane: Lane | undefined
  readonly byStream: ReadonlyMap<StreamDefinition, readonly Message[]>
}

/** Turns entries of the outbox into messages, whoever wrote them. */
export class EntryReader {
  readonly #streams: ReadonlyMap<string, StreamDefinition>
  readonly #tables: TableChanges
  readonly #messages: ChangeMessages

  /**
   * @param tables - those that triggers watch, or watched before the mode was changed
   * @param messages - of the streams that their rows concern
   */
  constructor(definitions: readonly StreamDefinition[], tables: TableChanges, messages: ChangeMessages) {
    this.#streams = new Map(definitions.map((definition) => [definition.stream, definition]))
    this.#tables = tables
    this.#messages = messages
  }

  /**
   * Asks the database what must be known for {@link messagesOfEntry}, once.
   *
   * @param queryRunner - a connection that is in hand already: the pool may have no other
   */
  async readyFor(entries: readonly OutboxEntry[], queryRunner: QueryRunner): Promise<void> {
    if (entries.some(({ kind }) => kind === 'rows')) await this.#tables.ready(queryRunner)
  }

  /**
   * The messages of an entry.
   *
   * @throws Error saying why it cannot be read: the relay sets it aside with that reason
   */
  messagesOfEntry(entry: OutboxEntry): EntryMessages {
    if (entry.kind === 'rows') {
      return { lane: undefined, byStream: this.#messages.byStream(this.#tables.changesOf(entry)) }
    }
    const lane = laneOf(entry)
    if (lane === undefined) throw new TypeError(`this version does not know the kind "${entry.kind}"`)
    const definition = this.#streams.get(entry.source)
    if (definition === undefined) throw new TypeError(`there is no stream "${entry.source}"`)
    return { lane, byStream: new Map([[definition, messagesIn(entry)]]) }
  }
}
