import {
  InstanceChecker,
  type DataSource,
  type EntityManager,
  type EntityMetadata,
  type EntitySchema,
  type FindOptionsRelations,
  type ObjectLiteral,
} from 'typeorm'

import type { CaptureMode } from './capture/modes.ts'

/** What an index holds for one entity: any JSON object. */
export type DocumentBody = Record<string, unknown>

/** Elasticsearch mappings as its API takes them; `properties` are merged over the derived ones, field by field. */
export interface Mappings {
  properties?: Record<string, unknown>
  [key: string]: unknown
}

/**
 * What `document()` may use beside its entity: `services` of the configuration. Give it its members where you
 * define yours:
 *
 * @example
 * ```ts
 * declare module 'redstream' {
 *   interface Services { prices: PriceList }
 * }
 * ```
 */
export interface Services {}

/** What `document()` is given beside the entity. */
export interface DocumentContext {
  /** Reads from the primary database, on a connection of its own. Valid until the batch's documents are made. */
  readonly manager: EntityManager
  /** `services` of the configuration; an empty object by default. */
  readonly services: Services
  /** Empty at the beginning of a batch, shared by its documents: for what several of them look up. */
  readonly cache: Map<unknown, unknown>
}

/** How an entity is kept in Elasticsearch. Every part has a default. */
export interface IndexedOptions<E extends ObjectLiteral = ObjectLiteral> {
  /**
   * The alias that applications search, or a function of the DataSource, for instance for a schema per tenant.
   * Default: the table's name.
   */
  index?: string | ((dataSource: DataSource) => string)
  /** The name of its streams in Redis, or a function of the DataSource. Default: the index's name. */
  stream?: string | ((dataSource: DataSource) => string)
  /** Number of streams that its changes are spread over, by a hash of the primary key. Default: 1. */
  partitions?: number
  /** Relations loaded with the entity, as in `find({ relations })`, whose changes index it again. Default: none. */
  relations?: FindOptionsRelations<E>
  /** Relations whose changes index the entity again without being loaded or embedded. Default: none. */
  watch?: FindOptionsRelations<E>
  /** Makes the document. Default: every column, and the loaded relations. An exception makes a dead letter of this record alone. */
  document?: (entity: E, context: DocumentContext) => DocumentBody | Promise<DocumentBody>
  /** Merged over the mappings derived from the column types. */
  mappings?: Mappings
  /** Index settings, merged over Redstream's own (`gc_deletes: 1h`). */
  settings?: Record<string, unknown>
  /** False: no document; an existing one is deleted. Default: always true. */
  when?: (entity: E) => boolean
  /** True: soft-deleted rows keep their documents, and soft-deleted relations are loaded. Default: false. */
  withDeleted?: boolean
  /**
   * The document's `_id`: 1 to 512 bytes, of this row only. Made of the columns and the named relations. The document
   * then has the row's key in its field `redstream_key`. Default: the primary key.
   */
  id?: (entity: E) => string
  /** What the document's shard is chosen by. Made of the columns and the named relations. Default: its `_id`. */
  routing?: (entity: E) => string
  /** Extra data that the message carries to your own consumers (the gem's `redstream_payload`). Must be JSON. Default: none. */
  payload?: (entity: E) => DocumentBody
  /** Who tells which rows have changed, see `docs/guarantees.md`. Default: the setting `capture`. */
  capture?: CaptureMode
}

/** What has streams in Redis: an indexed entity, or one that documents of others embed (`cascade/streams.ts`). */
export interface StreamDefinition<E extends ObjectLiteral = ObjectLiteral> {
  /** What people call it: the index, or the stream where there is no index. */
  readonly name: string
  readonly stream: string
  readonly partitions: number
  readonly metadata: EntityMetadata
  readonly options: Pick<IndexedOptions<E>, 'payload' | 'id' | 'routing' | 'relations'>
}

/** An indexed entity of one DataSource with everything resolved. An entity may have several, one for each index. */
export interface IndexDefinition<E extends ObjectLiteral = ObjectLiteral> extends StreamDefinition<E> {
  /** The alias that applications search. */
  readonly name: string
  readonly options: IndexedOptions<E>
}

/** What {@link Indexed} may be applied to. */
export type IndexedTarget<E extends ObjectLiteral = ObjectLiteral> =
  | (abstract new (...args: never[]) => E)
  | EntitySchema<E>

// Kept on a global symbol: the entities may be loaded by another module loader than the workers (jiti, a test
// runner), and a second copy of this module must still see what the first one registered.
const registryKey = Symbol.for('redstream.indexed')
type Registry = Map<IndexedTarget, IndexedOptions[]>
const globals = globalThis as { [registryKey]?: Registry }
const registry: Registry = (globals[registryKey] ??= new Map())

/**
 * Class decorator: keeps the entity in Elasticsearch. Several on one class make several indices. Works with
 * TypeScript's legacy decorators (which TypeORM needs), and may be applied from outside: to a class of somebody else,
 * `Indexed({ … })(TheirEntity)`, and to an EntitySchema.
 *
 * What is wrong with the options is said by `Redstream.attach` and by the workers, when they start.
 *
 * @example
 * ```ts
 * @Indexed<City>({ index: 'cities', relations: { country: true } })
 * @Entity()
 * class City { … }
 * ```
 */
export function Indexed<E extends ObjectLiteral = ObjectLiteral>(options: IndexedOptions<E> = {}) {
  return (target: IndexedTarget<E>): void => {
    registry.set(target, [...indexedOptions(target), options as unknown as IndexedOptions])
  }
}

/** The options that {@link Indexed} gave to a class or an EntitySchema, one for each index. */
export function indexedOptions(target: unknown): readonly IndexedOptions[] {
  return registry.get(target as IndexedTarget) ?? []
}

/** The options that {@link Indexed} gave to an entity of a DataSource. */
export function indexedOptionsOf(
  dataSource: DataSource,
  { target }: EntityMetadata,
): readonly IndexedOptions[] {
  const schemas = [...registry.keys()].filter(
    (indexed) =>
      InstanceChecker.isEntitySchema(indexed) && (indexed.options.target ?? indexed.options.name) === target,
  )
  // Another DataSource may have a schema of the same name. Schemas that file patterns find are not listed.
  const listed = new Set<unknown>(Object.values(dataSource.options.entities ?? {}))
  const schema =
    schemas.find((candidate) => listed.has(candidate)) ??
    ([...listed].some((entry) => typeof entry === 'string') ? schemas.at(-1) : undefined)
  return [...indexedOptions(target), ...indexedOptions(schema)]
}
