import type { Driver } from 'typeorm'

import type { KeyValues } from '../../capture/key-condition.ts'
import { joinParts, keyText, type RowKey, splitKey } from '../../capture/row-key.ts'
import { RedstreamError } from '../../errors.ts'
import type { Column, Shape } from './load-plan.ts'

type Metadata = Shape['metadata']

const binaryTypes = new Set<unknown>([
  'bytea',
  'blob',
  'tinyblob',
  'mediumblob',
  'longblob',
  'binary',
  'varbinary',
  'raw',
])

/** What the entity's value may be that has this text. */
type Reading = (text: string) => unknown

// Not made anew for each key: a batch has a thousand.
const bytes: readonly Reading[] = [(text) => Buffer.from(text, 'hex')]
const likely: readonly Reading[] = [
  (text) => text,
  Number,
  BigInt,
  (text) => new Date(text),
  (text) => text === 'true',
  ...bytes,
]

/**
 * The values by which the database finds the row of a key.
 *
 * @throws RedstreamError ENTITY when the key has the wrong number of parts, or no value of a column has such a text
 */
export function valuesOfKey(metadata: Metadata, key: RowKey, driver: Driver): KeyValues {
  const parts = splitKey(metadata, key)
  if (!parts)
    throw new RedstreamError(
      'ENTITY',
      `"${key}" is no key of ${metadata.name}, whose primary key has ${metadata.primaryColumns.length} parts`,
    )
  return metadata.primaryColumns.map((column, index) => databaseValue(column, parts[index] ?? '', driver))
}

/** The key of a row, from the primary key values that the driver returned. */
export function keyOfValues(metadata: Metadata, values: KeyValues, driver: Driver): RowKey {
  const { primaryColumns } = metadata
  const textOf = (column: Column, index: number): string =>
    keyText(column, driver.prepareHydratedValue(values[index], column)) ?? ''
  return primaryColumns.length === 1 ? textOf(primaryColumns[0]!, 0) : joinParts(primaryColumns.map(textOf))
}

/**
 * A key's text is that of the entity's value; the database may hold another one (`transformer`, dates, bytes). The
 * entity's value is not known, so the likely ones are tried: right is one that would be loaded with the same text.
 */
export function databaseValue(column: Column, text: string, driver: Driver): unknown {
  const isBytes = !column.transformer && binaryTypes.has(column.type)
  for (const valueOf of isBytes ? bytes : likely) {
    try {
      const stored: unknown = driver.preparePersistentValue(valueOf(text), column)
      if (keyText(column, driver.prepareHydratedValue(stored, column)) === text) return stored
    } catch {
      // A transformer that cannot take this kind of value: the next kind may fit.
    }
  }
  throw new RedstreamError(
    'ENTITY',
    `${column.entityMetadata.name}.${column.propertyPath} holds no value with the text "${text}"` +
      (column.transformer
        ? ': its transformer must turn the text of an id (or the number or date that it stands for) back into the ' +
          'value in the database, and that into the same text'
        : ''),
  )
}
