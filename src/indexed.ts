import type { EntityMetadata, FindOptionsRelations, ObjectLiteral } from 'typeorm'

/** What an index holds for one entity: any JSON object. */
export type DocumentBody = Record<string, unknown>

/** Elasticsearch mappings as its API takes them; `properties` are merged over the derived ones, field by field. */
export interface Mappings {
  properties?: Record<string, unknown>
  [key: string]: unknown
}

/** How an entity is kept in Elasticsearch. Every part has a default. */
export interface IndexedOptions<E extends ObjectLiteral = ObjectLiteral> {
  /** The alias that applications search. Default: the table's name. */
  index?: string
  /** The name of its streams in Redis. Default: the index's name. */
  stream?: string
  /** Number of streams that its changes are spread over, by a hash of the primary key. Default: 1. */
  partitions?: number
  /** Relations loaded with the entity, as in `find({ relations })`. Default: none. */
  relations?: FindOptionsRelations<E>
  /** Makes the document. Default: every column, and the loaded relations. An exception makes a dead letter of this record alone. */
  document?: (entity: E) => DocumentBody | Promise<DocumentBody>
  /** Merged over the mappings derived from the column types. */
  mappings?: Mappings
  /** Index settings, merged over Redstream's own (`gc_deletes: 1h`). */
  settings?: Record<string, unknown>
  /** False: no document; an existing one is deleted. Default: always true. */
  when?: (entity: E) => boolean
  /** Extra data that the message carries to your own consumers (the gem's `redstream_payload`). Must be JSON. Default: none. */
  payload?: (entity: E) => DocumentBody
}

/** An indexed entity of one DataSource with everything resolved. */
export interface IndexDefinition<E extends ObjectLiteral = ObjectLiteral> {
  /** The alias that applications search. */
  readonly name: string
  readonly stream: string
  readonly partitions: number
  readonly metadata: EntityMetadata
  readonly options: IndexedOptions<E>
}

// Kept on a global symbol: the entities may be loaded by another module loader than the workers (jiti, a test
// runner), and a second copy of this module must still see what the first one registered.
const registryKey = Symbol.for('redstream.indexed')
type Registry = Map<unknown, IndexedOptions>
const globals = globalThis as { [registryKey]?: Registry }
const registry: Registry = (globals[registryKey] ??= new Map())

/**
 * Class decorator: keeps the entity in Elasticsearch. Works with TypeScript's legacy decorators (which TypeORM needs)
 * and may be applied from outside to a class of somebody else: `Indexed({ … })(TheirEntity)`.
 *
 * @example
 * ```ts
 * @Indexed<City>({ index: 'cities', relations: { country: true } })
 * @Entity()
 * class City { … }
 * ```
 */
export function Indexed<E extends ObjectLiteral = ObjectLiteral>(options: IndexedOptions<E> = {}) {
  return (target: abstract new (...args: never[]) => E): void => {
    registry.set(target, options as unknown as IndexedOptions)
  }
}

/** The options that {@link Indexed} gave to a class, or undefined. */
export function indexedOptions(target: unknown): IndexedOptions | undefined {
  return registry.get(target)
}
