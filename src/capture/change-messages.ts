import type { DataSource, EntityMetadata } from 'typeorm'

import type { CascadeCapture } from '../cascade/captured.ts'
import { definitionsByMetadata } from '../definitions.ts'
import type { StreamDefinition } from '../indexed.ts'
import type { Message } from '../streams/message.ts'
import type { Column, RowChange } from './changes.ts'
import { keyOfChange } from './entity-message.ts'

/** What one changed row is for one stream. */
export interface ToldChange {
  readonly definition: StreamDefinition
  readonly change: RowChange
  /** Undefined when it is not known which row it is. */
  readonly message: Message | undefined
}

/** Says which streams a changed row concerns, and with which message: the same for every witness of changes. */
export class ChangeMessages {
  readonly #cascade: CascadeCapture
  readonly #concerned: ReadonlyMap<EntityMetadata, readonly StreamDefinition[]>
  readonly #formerColumns: ReadonlyMap<EntityMetadata, readonly Column[]>

  constructor(dataSource: DataSource, definitions: readonly StreamDefinition[], cascade: CascadeCapture) {
    this.#cascade = cascade
    this.#concerned = definitionsByMetadata(dataSource, definitions)
    this.#formerColumns = new Map(
      [...this.#concerned].map(([metadata, ofTable]) => [
        metadata,
        ofTable.flatMap((one) => cascade.formerColumns(one, metadata)),
      ]),
    )
  }

  /** The entities whose rows somebody follows. */
  get entities(): readonly EntityMetadata[] {
    return [...this.#concerned.keys()]
  }

  /** The streams that a change of this entity may concern. */
  concerned(metadata: EntityMetadata): readonly StreamDefinition[] {
    return this.#concerned.get(metadata) ?? []
  }

  /** The foreign keys of an entity whose former values are needed; undefined when nobody follows its table. */
  formerColumns(metadata: EntityMetadata): readonly Column[] | undefined {
    return this.#formerColumns.get(metadata)
  }

  /** The messages of changed rows, one for each stream that they concern. */
  *told(changes: readonly RowChange[]): Generator<ToldChange> {
    for (const change of changes) {
      for (const definition of this.concerned(change.metadata)) {
        if (!this.#cascade.concerns(definition, change)) continue
        const id = keyOfChange(definition, change)
        const message =
          id === undefined ? undefined : this.#cascade.completed<Message>(definition, { id }, change)
        yield { definition, change, message }
      }
    }
  }

  /** The messages of changed rows by stream. Rows without a known key have none. */
  byStream(changes: readonly RowChange[]): Map<StreamDefinition, Message[]> {
    const messages = new Map<StreamDefinition, Message[]>()
    for (const { definition, message } of this.told(changes)) {
      if (message === undefined) continue
      const ofStream = messages.get(definition) ?? []
      messages.set(definition, ofStream)
      ofStream.push(message)
    }
    return messages
  }
}
