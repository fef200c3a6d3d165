import type { EntityMetadata } from 'typeorm'

import type { Column, RowChange } from '../capture/changes.ts'
import type { StreamDefinition } from '../indexed.ts'
import type { Message } from '../streams/message.ts'
import { formerColumns, formerKeys } from './former-keys.ts'
import type { CascadePath } from './paths.ts'
import { embeddedStreams, type CascadeSource } from './streams.ts'

/** What the capture of changes must know of the cascade: which changes matter to it, and what their messages carry. */
export class CascadeCapture {
  readonly #paths: ReadonlyMap<StreamDefinition, readonly CascadePath[]>
  readonly #embedded: ReadonlySet<StreamDefinition>

  constructor(sources: readonly CascadeSource[]) {
    this.#paths = new Map(sources.map(({ definition, paths }) => [definition, paths]))
    this.#embedded = new Set(embeddedStreams(sources))
  }

  /** The foreign keys of an entity whose former values are needed when they change. */
  formerColumns(definition: StreamDefinition, metadata: EntityMetadata): Column[] {
    return formerColumns(this.#paths.get(definition) ?? [], metadata)
  }

  /** The message with the foreign keys that the change takes from the row. */
  completed<M extends Message | undefined>(definition: StreamDefinition, message: M, change: RowChange): M {
    const paths = this.#paths.get(definition)
    if (message === undefined || paths === undefined) return message
    const keys = formerKeys(paths, change)
    return keys === undefined ? message : { ...message, before: [keys] }
  }

  /** The columns of an only embedded table that some document shows; undefined: all that are known matter. */
  columnsThatMatter(definition: StreamDefinition): ReadonlySet<string> | undefined {
    if (!this.#embedded.has(definition)) return undefined
    const paths = this.#paths.get(definition) ?? []
    const columns = paths.flatMap((path) => (path.columns === undefined ? [] : [path.columns]))
    return columns.length < paths.length ? undefined : new Set(columns.flatMap((names) => [...names]))
  }

  /** False when a row that is only embedded changes in columns that no document shows. */
  concerns(definition: StreamDefinition, { kind, set }: RowChange): boolean {
    if (kind !== 'update' || set === undefined) return true
    const columns = this.columnsThatMatter(definition)
    return columns === undefined || Array.from(set).some(({ databaseName }) => columns.has(databaseName))
  }
}
