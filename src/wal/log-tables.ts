import type { Pgoutput } from 'pg-logical-replication'

import type { Column, RowChange } from '../capture/changes.ts'
import { changesOfTexts, type RowTexts, type WatchedTable } from '../capture/watched-table.ts'
import type { TableInDatabase } from './catalog.ts'

/** A table as the log has described it last, which may differ from the entity while columns come and go. */
interface Relation {
  readonly table: WatchedTable
  /** What the driver makes of a column's text. */
  readonly parsers: ReadonlyMap<string, (text: string) => unknown>
}

type RowMessage = Pgoutput.MessageInsert | Pgoutput.MessageUpdate | Pgoutput.MessageDelete

/** Makes changes of entities' rows out of what the log tells of tables. */
export class LogTables {
  readonly #tables: readonly TableInDatabase[]
  readonly #relations = new Map<number, Relation | undefined>()

  /** @param tables - those that are watched, as the database has them */
  constructor(tables: readonly TableInDatabase[]) {
    this.#tables = tables
  }

  /** The log describes a table before its first row, and again when it has changed. */
  describe({ relationOid, schema, name, columns }: Pgoutput.MessageRelation): void {
    const oid = relationOid >>> 0
    // By number, because it may be renamed; by name, because it may have been made anew.
    const found =
      this.#tables.find((one) => one.oid === oid) ??
      this.#tables.find((one) => one.schema === schema && one.name === name)
    if (found === undefined) {
      this.#relations.set(oid, undefined)
      return
    }
    const parsers = new Map(columns.map((column) => [column.name, column.parser]))
    // Texts are compared exactly, and only keys are ever needed as the driver has them.
    for (const column of columns) column.parser = (text: string) => text
    this.#relations.set(oid, { table: found.watched, parsers })
  }

  /** The changes of a row; none when nothing that matters has changed. */
  changes(message: RowMessage): RowChange[] {
    const relation = this.#relations.get(message.relation.relationOid >>> 0)
    if (relation === undefined) return []
    const { table, parsers } = relation
    const row = rowOf(message)
    if (row.before !== undefined && row.after !== undefined && isSame(table, row.before, row.after)) return []
    return changesOfTexts(table, row, (column: Column, text) => {
      const parse = parsers.get(column.databaseName)
      return parse === undefined ? text : parse(text)
    })
  }

  /** The watched tables among those that were truncated. */
  truncated({ relations }: Pgoutput.MessageTruncate): WatchedTable[] {
    return relations.flatMap(({ relationOid }) => this.#relations.get(relationOid >>> 0)?.table ?? [])
  }
}

interface Row {
  readonly before?: RowTexts | undefined
  readonly after?: RowTexts | undefined
}

/**
 * What a row was and is, as far as the log tells. What it was is told in whole with REPLICA IDENTITY FULL, otherwise of an
 * update only when the key changes: without it, an update looks like an insert, and leads to the same messages.
 */
function rowOf(message: RowMessage): Row {
  if (message.tag === 'insert') return { after: message.new }
  const before: RowTexts | undefined = message.old ?? message.key ?? undefined
  if (message.tag === 'delete') return { before }
  if (before === undefined) return { after: message.new }
  // A large value that stays is not told again. Where it is part of the key, the old key has it.
  const after = Object.entries(message.new as Record<string, string | null | undefined>).map(
    ([name, text]) => [name, text === undefined ? before[name] : text],
  )
  return { before, after: Object.fromEntries(after) as RowTexts }
}

/**
 * Only with REPLICA IDENTITY FULL can it be seen that nothing has changed that matters. Of a generated column the log tells
 * nothing before PostgreSQL 18: it may have changed.
 */
export function isSame({ columns }: WatchedTable, before: RowTexts, after: RowTexts): boolean {
  return [...columns].every((name) => name in before && before[name] === after[name])
}
