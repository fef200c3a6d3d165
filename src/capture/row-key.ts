import { crc32 } from 'node:zlib'

import type { EntityMetadata, ObjectLiteral } from 'typeorm'

import { RedstreamError } from '../errors.ts'

type Column = EntityMetadata['columns'][number]

/**
 * The canonical text of a row's primary key: the id in messages, the key of partitions and the `_id` of the
 * document. One column: its value as text. Several: the parts in the order of `metadata.primaryColumns`, each with
 * `%` and `:` percent-encoded, joined with `:`.
 */
export type RowKey = string

/** Elasticsearch refuses a longer `_id` (bytes in UTF-8). */
const maxKeyBytes = 512

/** Column types of whole numbers; JavaScript's `Number` stands for the driver's integer type in TypeORM. */
export const integerTypes: ReadonlySet<unknown> = new Set<unknown>([
  Number,
  'int',
  'integer',
  'int2',
  'int4',
  'int8',
  'int64',
  'tinyint',
  'smallint',
  'mediumint',
  'bigint',
  'unsigned big int',
])

const exactTexts = new Set<unknown>([String, 'varchar', 'character varying', 'text', 'uuid'])

/**
 * Whether values of a column that the database takes for equal have the same text. Not so for collations that ignore
 * case, which are what MySQL begins with (its uuids are texts too), `1.0` and `1`, padded strings.
 */
export function isComparedByText({ type, collation, entityMetadata }: Column): boolean {
  if (integerTypes.has(type)) return true
  const database = entityMetadata.connection.options.type
  return exactTexts.has(type) && (database === 'postgres' || database === 'better-sqlite3') && !collation
}

/**
 * The key of a row.
 *
 * @param idOrEntity - a scalar, a map of ids by property (nested for embedded ids and for relations), or an entity
 * @returns undefined if any part of the key is missing or null
 * @throws RedstreamError ENTITY when a part is an object that has no text of its own
 */
export function keyOf(metadata: EntityMetadata, idOrEntity: unknown): RowKey | undefined {
  const columns = metadata.primaryColumns
  if (idOrEntity === null || idOrEntity === undefined) return undefined
  const [first] = columns
  if (first && columns.length === 1) {
    return keyText(first, isScalar(idOrEntity) ? idOrEntity : singleValue(metadata, first, idOrEntity))
  }
  if (isScalar(idOrEntity)) return undefined
  const parts: string[] = []
  for (const column of columns) {
    const part = keyText(column, column.getEntityValue(idOrEntity))
    if (part === undefined) return undefined
    parts.push(part)
  }
  return columns.length === 0 ? undefined : joinParts(parts)
}

/**
 * The parts of a key, as TypeORM's `where` and `getEntityIdMap` have them: by property, nested for embedded ids. The
 * values are texts.
 *
 * @returns undefined if the key has another number of parts than the entity has primary columns
 */
export function parseKey(metadata: EntityMetadata, key: RowKey): ObjectLiteral | undefined {
  const parts = splitKey(metadata, key)
  if (!parts) return undefined
  const id: Record<string, unknown> = {}
  metadata.primaryColumns.forEach((column, index) => {
    const path = [...(column.embeddedMetadata?.parentPropertyNames ?? []), column.propertyName]
    setIn(id, path, parts[index])
  })
  return id
}

/** A key that somebody has written, as the database has it: a uuid in small letters, `7` for `007`. */
export function canonicalKey(metadata: EntityMetadata, key: RowKey): RowKey {
  const id = parseKey(metadata, key)
  return (id && keyOf(metadata, id)) ?? key
}

/** The texts of a key's parts in the order of the primary columns; undefined if there are too few or too many. */
export function splitKey(metadata: EntityMetadata, key: RowKey): string[] | undefined {
  const count = metadata.primaryColumns.length
  if (count === 1) return [key]
  const parts = key.split(':').map(decodePart)
  return parts.length === count ? parts : undefined
}

/** Why Elasticsearch cannot take this text as an `_id`; undefined if it can. */
export function keyProblem(id: string, what = 'the primary key'): string | undefined {
  if (id === '') return `${what} is an empty text, which Elasticsearch does not accept as _id`
  const bytes = Buffer.byteLength(id)
  if (bytes <= maxKeyBytes) return undefined
  return `${what} is ${bytes} bytes long, and Elasticsearch accepts an _id of at most ${maxKeyBytes}`
}

/**
 * The partition that a key belongs to: CRC-32 (ISO-HDLC, as in zlib) of the key's UTF-8, modulo the number of
 * partitions. FROZEN: another function would let two partitions take tickets for the same document.
 */
export function partitionOf(key: RowKey, partitions: number): number {
  return partitions <= 1 ? 0 : crc32(key) % partitions
}

/**
 * The text of one primary key value. What the application may write in several ways, and the database returns in one
 * only, is brought to the database's form: `save({ id: '007' })` and the loaded row must have the same key.
 */
export function keyText(column: Column, value: unknown): string | undefined {
  if (value === null || value === undefined) return undefined
  if (typeof value === 'string') return canonical(column, value)
  if (value instanceof Date) return dateText(column, value)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  // An SQL expression, `insert({ code: () => 'upper(…)' })`: what it will give is not known.
  if (typeof value === 'function') return undefined
  if (typeof value === 'number' && integerTypes.has(column.type) && !Number.isSafeInteger(value)) {
    throw new RedstreamError(
      'ENTITY',
      `${column.entityMetadata.name}.${column.propertyPath} is part of the primary key and holds ${value}, which may be ` +
        'another number in the database: JavaScript holds whole numbers exactly up to 9007199254740991 only; let the ' +
        'driver give such keys as texts (SQLite’s cannot)',
    )
  }
  const text = (value as { toString(): string }).toString()
  if (text === '[object Object]' || Array.isArray(value))
    throw new RedstreamError(
      'ENTITY',
      `${column.entityMetadata.name}.${column.propertyPath} is part of the primary key and holds an object without a text ` +
        'of its own: give its class a toString() that names the value, or let the transformer return a string',
    )
  return text
}

/** Composite keys: injective, because neither `:` nor a stray `%` is left inside a part. */
export function joinParts(parts: readonly string[]): string {
  return parts.map((part) => part.replace(/[%:]/g, (char) => (char === '%' ? '%25' : '%3A'))).join(':')
}

function decodePart(part: string): string {
  return part.replace(/%(25|3A)/g, (_, code: string) => (code === '25' ? '%' : ':'))
}

function canonical(column: Column, text: string): string {
  if (column.transformer) return text
  if (integerTypes.has(column.type)) {
    const isCanonical = /^(?:0|-?[1-9]\d*)$/.test(text)
    return !isCanonical && /^[+-]?\d+$/.test(text) ? BigInt(text.replace('+', '')).toString() : text
  }
  return column.type === 'uuid' && hasNativeUuid(column) ? text.toLowerCase() : text
}

// Elsewhere `uuid` is a text column, whose letters stay as they were written.
function hasNativeUuid(column: Column): boolean {
  const type = column.entityMetadata.connection.options.type
  return type === 'postgres' || type === 'cockroachdb'
}

function dateText(column: Column, value: Date): string | undefined {
  if (!column.transformer && (column.type === 'date' || column.type === 'time')) {
    // TypeORM accepts a Date here and returns a string.
    const driver = column.entityMetadata.connection.driver
    const loaded: unknown = driver.prepareHydratedValue(driver.preparePersistentValue(value, column), column)
    if (typeof loaded === 'string') return loaded
  }
  return Number.isNaN(value.getTime()) ? undefined : value.toISOString()
}

// With a transformer an id may be an object of a class of its own (a ULID, a typed id).
function singleValue(metadata: EntityMetadata, column: Column, idOrEntity: object): unknown {
  const value: unknown = column.getEntityValue(idOrEntity)
  if (value !== undefined || !column.transformer) return value
  if (typeof metadata.target === 'function' && idOrEntity instanceof metadata.target) return undefined
  return idOrEntity.toString === Object.prototype.toString ? undefined : idOrEntity
}

function isScalar(value: {}): value is string | number | bigint | boolean | Date | Uint8Array {
  return typeof value !== 'object' || value instanceof Date || value instanceof Uint8Array
}

function setIn(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let at = target
  path.forEach((name, index) => {
    if (index === path.length - 1) at[name] = value
    else at = (at[name] ??= {}) as Record<string, unknown>
  })
}
