import type { Driver } from 'typeorm'

import type { Column } from '../capture/changes.ts'
import type { KeyValues } from '../capture/key-condition.ts'
import { splitKey } from '../capture/row-key.ts'
import type { Message } from '../streams/message.ts'
import { databaseValue } from '../sync/loading/key-values.ts'
import { readFormerKeys } from './former-keys.ts'
import type { CascadePath } from './paths.ts'

/** A value from which the owners are looked for. */
export interface Start {
  /** The value as text, unique for its path. */
  readonly text: string
  readonly values: KeyValues
  /** Keys of the changed rows that name it. */
  readonly rows: readonly string[]
}

/**
 * Where a path begins for some changed rows: their keys, a part of their keys (junctions), or the foreign keys that
 * they no longer have. Each value once: a thousand prices of one product name it once.
 *
 * @param invalid - is told of rows whose message holds what is no value of its column: nothing can refer to them
 */
export function startsOf(
  path: CascadePath,
  messages: readonly Message[],
  driver: Driver,
  invalid: (row: string, error: unknown) => void,
): Start[] {
  const rowsByText = new Map<string, string[]>()
  for (const message of messages) {
    for (const texts of textsIn(path, message)) {
      const text = JSON.stringify(texts)
      const rows = rowsByText.get(text)
      if (rows === undefined) rowsByText.set(text, [message.id])
      else rows.push(message.id)
    }
  }
  const columns = columnsOfTexts(path)
  return [...rowsByText].flatMap(([text, rows]) => {
    const texts = JSON.parse(text) as string[]
    try {
      const values = columns.map((column, index) => databaseValue(column, texts[index]!, driver))
      return [{ text, values, rows }]
    } catch (error) {
      for (const row of rows) invalid(row, error)
      return []
    }
  })
}

function textsIn({ kind, metadata, values }: CascadePath, { id, before }: Message): (readonly string[])[] {
  if (kind === 'former parent') return (before ?? []).flatMap((json) => asOne(readFormerKeys(values, json)))
  const parts = splitKey(metadata, id)
  return asOne(parts && values.flatMap((column) => parts[metadata.primaryColumns.indexOf(column)] ?? []))
}

function asOne<T>(value: T | undefined): T[] {
  return value === undefined ? [] : [value]
}

/** The columns whose values the texts are: a foreign key is written as the column that it refers to has it. */
function columnsOfTexts({ kind, values }: CascadePath): readonly Column[] {
  return kind === 'former parent' ? values.map((column) => column.referencedColumn ?? column) : values
}
