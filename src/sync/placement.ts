import type { Client } from '@elastic/elasticsearch'
import type { DataSource } from 'typeorm'

import type { IndexDefinition } from '../indexed.ts'
import type { Operation } from '../indexing/bulk-request.ts'
import type { Outcome } from '../indexing/bulk-writer.ts'
import { encodePlace, placeOf, unknownPlace } from '../place.ts'
import type { Message } from '../streams/message.ts'
import { loadRows } from './document-loader.ts'
import { withFormerPlaces } from './former-places.ts'

/**
 * Keeps one document per row where the entity says itself where its documents are (`id`, `routing`).
 *
 * A row may move between the moment it is read and the moment its document is written. Whoever indexes the move looks
 * for the old document, and may look too early. So whoever writes looks at the row again afterwards: either that look
 * sees the move, or the write was there before the move, and is found.
 *
 * State, in memory: where this process has written or tried to, until it has seen that the row is still there. If the
 * process dies, the messages of these rows are read again by others.
 */
export class Placement {
  readonly #client: Client
  readonly #dataSource: DataSource
  readonly #definition: IndexDefinition
  /** Row key → texts of places. */
  readonly #tried = new Map<string, Set<string>>()

  constructor(client: Client, dataSource: DataSource, definition: IndexDefinition) {
    this.#client = client
    this.#dataSource = dataSource
    this.#definition = definition
  }

  /** The operations of a batch with the deletes that they need; see {@link withFormerPlaces}. */
  async complete(
    targets: readonly string[],
    operations: readonly Operation[],
    messages: readonly Message[],
  ): Promise<Operation[]> {
    const told = new Map(messages.map(({ id, places = [unknownPlace] }) => [id, places]))
    for (const { id } of operations) {
      const tried = this.#tried.get(id)
      if (tried !== undefined) told.set(id, [...(told.get(id) ?? [unknownPlace]), ...tried])
    }
    const complete = await withFormerPlaces(this.#client, this.#definition, targets, operations, told)
    for (const operation of complete) this.#note(operation)
    return complete
  }

  /** Looks again at the rows whose documents were written; returns the keys of those that have moved since. */
  async moved(outcomes: readonly Outcome[]): Promise<string[]> {
    const written = new Map<string, string>()
    // Again: another batch that was in flight with the same row may have seen it at rest, and forgotten.
    for (const { operation } of outcomes) this.#note(operation)
    for (const [id, ofRow] of Map.groupBy(outcomes, ({ operation }) => operation.id)) {
      // What may still arrive stays noted, and is tried again.
      if (ofRow.some(({ fate }) => fate === 'wait' || fate === 'fatal')) continue
      const write = ofRow.find(({ fate, operation }) => fate === 'applied' && operation.source !== undefined)
      if (write?.operation.place === undefined) this.#tried.delete(id)
      else written.set(id, encodePlace(write.operation.place))
    }
    const { rows } = await loadRows(this.#definition, written.keys(), this.#dataSource)
    const moved: string[] = []
    for (const [id, place] of written) {
      if (this.#placeOf(id, rows.get(id)) === place) this.#tried.delete(id)
      else moved.push(id)
    }
    return moved
  }

  #note({ id, place, source }: Operation): void {
    if (source === undefined || place === undefined) return
    const tried = this.#tried.get(id) ?? new Set()
    this.#tried.set(id, tried.add(encodePlace(place)))
  }

  #placeOf(id: string, row: object | undefined): string | undefined {
    if (row === undefined) return undefined
    try {
      return encodePlace(placeOf(this.#definition, id, row))
    } catch {
      // It is a dead letter when it is tried again.
      return undefined
    }
  }
}
