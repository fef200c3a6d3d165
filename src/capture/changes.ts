import type { EntityMetadata, ObjectLiteral } from 'typeorm'

export type Column = EntityMetadata['columns'][number]

/** What was done to a row. An `upsert` that found its row is an insert too: the databases do not tell. */
export type WriteKind = 'insert' | 'update' | 'delete' | 'soft delete' | 'restore'

/** Foreign keys of a row, by the column's name in the database, each as the column that it refers to has it. */
export type ForeignKeys = Readonly<Record<string, unknown>>

/**
 * One changed row, whoever told of it: an event of TypeORM, or the rows that a statement returned. Junction tables are
 * no exception: their `before` and `after` hold the keys of both sides.
 */
export interface RowChange {
  readonly metadata: EntityMetadata
  readonly kind: WriteKind
  /** The primary key by property, nested for embedded ids, as `keyOf` takes it. Undefined: it is not known which row. */
  readonly key?: ObjectLiteral | undefined
  /** The foreign keys that the row had, as far as known: of rows that are updated, deleted, soft-deleted or restored. */
  readonly before?: ForeignKeys | undefined
  /** The foreign keys that the row has now, as far as known: not of rows that are deleted. */
  readonly after?: ForeignKeys | undefined
  /** The columns that an update sets; undefined: not known. */
  readonly set?: Iterable<Column> | undefined
}

/** Where an event of TypeORM may hold the row and its key. */
interface EventSource {
  readonly metadata: EntityMetadata
  readonly entity?: ObjectLiteral | undefined
  readonly databaseEntity?: ObjectLiteral | undefined
  readonly entityId?: unknown
  /** Of updates; empty when TypeORM does not tell. */
  readonly updatedColumns?: readonly Column[]
}

const foreignKeys = new WeakMap<EntityMetadata, readonly Column[]>()

/** The foreign key columns of a table, looked for once: every event asks. */
export function foreignKeyColumns(metadata: EntityMetadata): readonly Column[] {
  let columns = foreignKeys.get(metadata)
  if (columns === undefined) {
    columns = metadata.columns.filter((column) => column.referencedColumn !== undefined)
    foreignKeys.set(metadata, columns)
  }
  return columns
}

/** The change that an event tells of, as far as it does. */
export function changeOfEvent(kind: WriteKind, event: EventSource): RowChange {
  const { metadata, entity, databaseEntity } = event
  const old = databaseEntity && foreignKeysOf(metadata, databaseEntity)
  return {
    metadata,
    kind,
    key: keyOfEvent(event),
    before: kind === 'insert' ? undefined : old,
    // What an entity that is saved in part does not hold stays as it was.
    after:
      kind === 'delete' || entity === undefined ? undefined : { ...old, ...foreignKeysOf(metadata, entity) },
    set: event.updatedColumns?.length ? event.updatedColumns : undefined,
  }
}

function keyOfEvent({ metadata, entity, databaseEntity, entityId }: EventSource): ObjectLiteral | undefined {
  const [first] = metadata.primaryColumns
  const ofId =
    typeof entityId === 'object' && entityId !== null ? metadata.getEntityIdMap(entityId) : undefined
  if (ofId !== undefined) return ofId
  if (entityId !== undefined && entityId !== null && first && metadata.primaryColumns.length === 1) {
    const key: ObjectLiteral = {}
    first.setEntityValue(key, entityId)
    return key
  }
  return metadata.getEntityIdMap(entity) ?? metadata.getEntityIdMap(databaseEntity)
}

function foreignKeysOf(metadata: EntityMetadata, entity: ObjectLiteral): ForeignKeys {
  const known = foreignKeyColumns(metadata).flatMap((column): [string, unknown][] => {
    const value: unknown = column.getEntityValue(entity)
    return value === undefined ? [] : [[column.databaseName, value]]
  })
  return Object.fromEntries(known)
}

/**
 * The value of a column as an entity has it.
 *
 * @param value - as the driver returns or takes it
 */
export function hydrated(column: Column, value: unknown): unknown {
  // A foreign key has the form, and the transformer, of the column that it refers to.
  const form = column.referencedColumn ?? column
  return column.entityMetadata.connection.driver.prepareHydratedValue(value, form)
}

/**
 * The value of a column as the driver takes it: the reverse of {@link hydrated}.
 *
 * @param value - as an entity has it
 */
export function persisted(column: Column, value: unknown): unknown {
  const form = column.referencedColumn ?? column
  return column.entityMetadata.connection.driver.preparePersistentValue(value, form)
}
