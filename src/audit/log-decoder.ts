import type { Pgoutput } from 'pg-logical-replication'

import { changesOfTexts, type RowTexts, type WatchedTable } from '../capture/watched-table.ts'
import type { RowChange } from '../capture/changes.ts'
import { isSame } from '../wal/log-tables.ts'
import type { SeenKind } from './matcher.ts'
import type { ShadowChange } from './shadow.ts'

type Relation = Pgoutput.MessageRelation
type RowMessage = Pgoutput.MessageInsert | Pgoutput.MessageUpdate | Pgoutput.MessageDelete

/**
 * Makes changes of the messages of PostgreSQL's `pgoutput`, in the order of the log: a transaction's changes come between
 * its begin and its commit, after it has committed.
 */
export class LogDecoder {
  readonly #tables: ReadonlyMap<number, WatchedTable>
  /** How the driver reads a column's text, by relation. */
  readonly #parsers = new WeakMap<Relation, ReadonlyMap<string, (text: string) => unknown>>()
  #committedMs = 0

  /** @param tables - by the number of their relation (`pg_class.oid`) */
  constructor(tables: ReadonlyMap<number, WatchedTable>) {
    this.#tables = tables
  }

  decode(message: Pgoutput.Message): ShadowChange[] {
    switch (message.tag) {
      case 'begin':
        // In microseconds since 1970.
        this.#committedMs = Number(message.commitTime) / 1_000
        return []
      case 'relation':
        this.#keepTexts(message)
        return []
      case 'insert':
      case 'update':
      case 'delete':
        return this.#rowChanges(message)
      case 'truncate':
        return message.relations.flatMap((relation) => {
          const metadata = this.#tableOf(relation)?.metadata
          const facts = { row: undefined, kind: 'truncate', isCertain: true } as const
          return metadata === undefined ? [] : [{ ...facts, metadata, committedMs: this.#committedMs }]
        })
      default:
        return []
    }
  }

  /** The values are wanted as texts; the parser of the library reads them as the driver would. */
  #keepTexts(relation: Relation): void {
    this.#parsers.set(relation, new Map(relation.columns.map(({ name, parser }) => [name, parser])))
    for (const column of relation.columns) column.parser = (text: unknown) => text
  }

  /** The library reads the number, which has no sign, as one that has. */
  #tableOf({ relationOid }: Relation): WatchedTable | undefined {
    return this.#tables.get(relationOid >>> 0)
  }

  #rowChanges(message: RowMessage): ShadowChange[] {
    const { relation } = message
    const table = this.#tableOf(relation)
    if (table === undefined) return []
    const before = rowBefore(message)
    const after = message.tag === 'delete' ? undefined : texts(message.new)
    const isWhole = message.tag !== 'update' || message.old !== null
    if (isWhole && before !== undefined && after !== undefined && isSame(table, before, after)) return []
    const parsers = this.#parsers.get(relation)
    const rows = changesOfTexts(table, { before, after }, ({ databaseName }, text) =>
      // A column may be renamed meanwhile.
      (parsers?.get(databaseName) ?? String)(text),
    )
    // Without the row as it was, nobody can say whether an update has changed more than columns that nobody watches.
    const isCertain = isWhole || relation.columns.every(({ name }) => table.columns.has(name))
    return rows.map((row) => ({
      row,
      metadata: table.metadata,
      kind: kindOf(row),
      committedMs: this.#committedMs,
      isCertain,
    }))
  }
}

function rowBefore(message: RowMessage): RowTexts | undefined {
  if (message.tag === 'insert') return undefined
  const told = message.old ?? message.key
  if (told !== null) return texts(told)
  // The key is as it was, and nothing more is known.
  return message.tag === 'update' ? texts(message.new) : undefined
}

function kindOf({ kind }: RowChange): SeenKind {
  return kind === 'insert' || kind === 'delete' ? kind : 'update'
}

// Every parser was replaced by one that leaves the text as it is.
function texts(tuple: Record<string, unknown>): RowTexts {
  return tuple as RowTexts
}
