import type { EntityMetadata, ObjectLiteral } from 'typeorm'

import type { CascadeCapture } from '../cascade/captured.ts'
import { rootOf } from '../cascade/paths.ts'
import type { ChangeMessages } from './change-messages.ts'
import { hydrated, type Column, type ForeignKeys, type RowChange, type WriteKind } from './changes.ts'

/** A table that the database itself watches for us, by triggers or its log. */
export interface WatchedTable {
  /** Stands for the table in changes; with table inheritance, the root of its classes. */
  readonly metadata: EntityMetadata
  /** The primary key. */
  readonly key: readonly Column[]
  /** Foreign keys whose former values are needed, because documents of former parents are found by them. */
  readonly former: readonly Column[]
  /** Columns that matter, by their names in the database: a row that is updated elsewhere need not be told of. */
  readonly columns: ReadonlySet<string>
}

/** Values of a row by the column's name in the database, as texts of PostgreSQL; null for NULL. */
export type RowTexts = Readonly<Record<string, string | null>>

/** Reads a text of PostgreSQL as the driver would have given it. */
export type ParseText = (column: Column, text: string) => unknown

/** The tables behind some streams, each once. */
export function watchedTables(messages: ChangeMessages, cascade: CascadeCapture): WatchedTable[] {
  const byTable = Map.groupBy(messages.entities, ({ tablePath }) => tablePath)
  return [...byTable.values()].map((classes) => {
    const metadata = rootOf(classes.find((one) => one.tableType !== 'entity-child') ?? classes[0]!)
    const every = classes.flatMap((one) => one.columns).filter(({ isVirtualProperty }) => !isVirtualProperty)
    const former = new Set(classes.flatMap((one) => messages.formerColumns(one) ?? []).map(nameOf))
    const matter = new Set<string>()
    for (const one of classes) {
      for (const definition of messages.concerned(one)) {
        for (const name of cascade.columnsThatMatter(definition) ?? every.map(nameOf)) matter.add(name)
      }
    }
    const columns = new Map(every.map((column) => [nameOf(column), column]))
    return {
      metadata,
      key: metadata.primaryColumns,
      former: [...former].flatMap((name) => columns.get(name) ?? []),
      columns: new Set([...metadata.primaryColumns.map(nameOf), ...former, ...matter]),
    }
  })
}

/**
 * A change that the database tells of. A row that gets another key is two: its old self is deleted, its new self inserted.
 *
 * @param row - what it was and what it is, as far as it was and is; at least the key's columns
 */
export function changesOfTexts(
  { metadata, key, former }: WatchedTable,
  row: { readonly before?: RowTexts | undefined; readonly after?: RowTexts | undefined },
  parse: ParseText,
): RowChange[] {
  const { before, after } = row
  const change = (
    kind: WriteKind,
    texts: RowTexts,
    rest: Pick<RowChange, 'before' | 'after'>,
  ): RowChange => ({
    metadata,
    kind,
    key: keyOfTexts(key, texts, parse),
    ...rest,
  })
  const values = (texts: RowTexts): ForeignKeys =>
    Object.fromEntries(
      former.flatMap((column): [string, unknown][] => {
        const text = texts[nameOf(column)]
        return text === undefined ? [] : [[nameOf(column), valueOf(column, text, parse)]]
      }),
    )
  const gone = (texts: RowTexts): RowChange => change('delete', texts, { before: values(texts) })
  const come = (texts: RowTexts): RowChange => change('insert', texts, { after: values(texts) })
  if (before === undefined) return after === undefined ? [] : [come(after)]
  if (after === undefined) return [gone(before)]
  if (key.some((column) => before[nameOf(column)] !== after[nameOf(column)]))
    return [gone(before), come(after)]
  return [change('update', after, { before: values(before), after: values(after) })]
}

function keyOfTexts(key: readonly Column[], texts: RowTexts, parse: ParseText): ObjectLiteral {
  const id: ObjectLiteral = {}
  for (const column of key) column.setEntityValue(id, valueOf(column, texts[nameOf(column)], parse))
  return id
}

function valueOf(column: Column, text: string | null | undefined, parse: ParseText): unknown {
  return text === null || text === undefined ? text : hydrated(column, parse(column, text))
}

function nameOf({ databaseName }: Column): string {
  return databaseName
}
