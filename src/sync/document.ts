import type { DataSource, EntityMetadata, ObjectLiteral } from 'typeorm'

import { RedstreamError } from '../errors.ts'
import type { DocumentBody, DocumentContext, IndexDefinition, Services } from '../indexed.ts'
import { type RelationNode, relationTree } from './relation-tree.ts'

/** Writes one property of an entity into its document. */
type Part = (entity: ObjectLiteral, body: DocumentBody) => void

/**
 * The document that an entity gets without a `document` of its own: every column under its property's name, and the
 * relations that the definition names, with their columns. Embedded entities become objects. Left out are columns
 * with `select: false` and foreign keys without a property. Dates stay dates (JSON writes them as ISO), bigints
 * become strings, bytes become base64.
 *
 * Compiled once: no metadata is read per row.
 *
 * @throws RedstreamError ENTITY when a named relation does not exist
 */
export function defaultDocument<E extends ObjectLiteral>(
  definition: IndexDefinition<E>,
): (entity: E) => DocumentBody {
  return bodyOf(definition.metadata, relationTree(definition as unknown as IndexDefinition))
}

/**
 * What is indexed for an entity: undefined when `when` says that it has no document, otherwise the result of
 * `document`, or of {@link defaultDocument}.
 *
 * @throws RedstreamError ENTITY (the returned function) when `document` gives something else than a plain object or
 *   `when` something else than true or false; whatever these two throw themselves
 */
export function buildDocument<E extends ObjectLiteral>(definition: IndexDefinition<E>): MakeDocument<E> {
  const { when, document } = definition.options
  const make = document ?? defaultDocument(definition)
  const { name } = definition.metadata
  const checked = (body: unknown): DocumentBody => {
    if (isPlainObject(body)) return body
    throw new RedstreamError(
      'ENTITY',
      `The document of ${name} must be a plain object, but document() gave ${kind(body)}`,
    )
  }
  return (entity, context) => {
    if (when && !decision(when(entity), name)) return undefined
    const body: unknown = make(entity, context)
    return isThenable(body) ? Promise.resolve(body).then(checked) : checked(body)
  }
}

/** A promise only where `document()` gives one: awaiting each document costs as much as making a small one. */
export type MakeDocument<E = ObjectLiteral> = (
  entity: E,
  context: DocumentContext,
) => DocumentBody | undefined | Promise<DocumentBody>

/** Makes the documents of one batch with the context that they share. */
export async function inContext<T>(
  dataSource: DataSource,
  services: Services,
  make: (context: DocumentContext) => Promise<T>,
): Promise<T> {
  // It takes a connection only when somebody queries. Never a replica's: that row may be older than the ticket.
  const queryRunner = dataSource.createQueryRunner('master')
  try {
    return await make({ manager: queryRunner.manager, services, cache: new Map() })
  } finally {
    await queryRunner.release()
  }
}

function bodyOf(
  metadata: EntityMetadata,
  nodes: readonly RelationNode[],
): (entity: ObjectLiteral) => DocumentBody {
  const parts = [...metadata.columns.flatMap(columnPart), ...nodes.map(relationPart)]
  return (entity) => {
    const body: DocumentBody = {}
    for (const part of parts) part(entity, body)
    return body
  }
}

function columnPart(column: EntityMetadata['columns'][number]): Part[] {
  if (column.isVirtual || !column.isSelect) return []
  const parents = column.embeddedMetadata?.parentPropertyNames ?? []
  const { propertyName } = column
  return [
    (entity, body) => {
      const holder = holderOf(entity, parents)
      const value = holder && valueOf(holder[propertyName])
      if (value !== undefined) objectIn(body, parents)[propertyName] = value
    },
  ]
}

function relationPart({ relation, children }: RelationNode): Part {
  const parents = relation.embeddedMetadata?.parentPropertyNames ?? []
  const { propertyName } = relation
  const make = bodyOf(relation.inverseEntityMetadata, children)
  return (entity, body) => {
    // A loaded lazy relation is not where its name says.
    const related = relation.getEntityValue(entity) as ObjectLiteral | ObjectLiteral[] | null | undefined
    if (related === undefined) return
    objectIn(body, parents)[propertyName] = Array.isArray(related)
      ? related.map(make)
      : related && make(related)
  }
}

/** The embedded entity that holds a property; undefined when there is none. */
function holderOf(entity: ObjectLiteral, parents: readonly string[]): ObjectLiteral | undefined {
  let holder: ObjectLiteral | null | undefined = entity
  for (const name of parents) holder = holder?.[name] as ObjectLiteral | null | undefined
  return holder ?? undefined
}

function objectIn(body: DocumentBody, parents: readonly string[]): DocumentBody {
  let at = body
  for (const name of parents) at = (at[name] ??= {}) as DocumentBody
  return at
}

function valueOf(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  return Array.isArray(value) ? value.map(valueOf) : value
}

function decision(value: unknown, name: string): boolean {
  if (typeof value === 'boolean') return value
  throw new RedstreamError(
    'ENTITY',
    `when() of ${name} must say true or false at once, but gave ${kind(value)}`,
  )
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}

function isPlainObject(value: unknown): value is DocumentBody {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function kind(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'an array'
  if (typeof value !== 'object') return `a ${typeof value}`
  const { name } = value.constructor
  return name === '' ? 'an object of a class' : `an object of class ${name}`
}
