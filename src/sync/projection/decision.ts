import type { EntityMetadata } from 'typeorm'

import type { IndexDefinition } from '../../indexed.ts'
import type { Branch, Column, Shape } from '../loading/load-plan.ts'
import type { Relation } from '../relation-tree.ts'
import { jsonTypes, typesOfDeclared } from './column-types.ts'

/** What the database has of a column. */
export interface ColumnFact {
  /** Its table, as a query names it. */
  readonly table: string
  /** Its name in the database. */
  readonly name: string
  /** Oid of its type. */
  readonly oid: number
  /** The type as `format_type` writes it; `enum` for every enum. */
  readonly type: string
}

/** What has to be known beside the definition to decide who makes the documents. */
export interface Facts {
  /** The DataSource's type. */
  readonly database: string
  /** The time zone of this process. */
  readonly timeZone: string
  /** What the driver makes of a text of a type; undefined when that cannot be known. */
  readonly parse: ((oid: number, text: string) => unknown) | undefined
  /** Undefined when there is no such column. */
  readonly column: (column: Column) => ColumnFact | undefined
  /** Whether listeners or subscribers hear of every loaded entity of this kind, and may change it. */
  readonly isHeard: (metadata: EntityMetadata) => boolean
}

/**
 * Why the documents of an index cannot be made by the database, in words for people; empty when they can. They can
 * when nobody but the database has a say in them, and every value becomes the same JSON either way. What is not known
 * for certain is an obstacle: the way through entities is right for everything.
 */
export function obstacles(definition: IndexDefinition, shape: Shape, facts: Facts): string[] {
  if (facts.database !== 'postgres') return [`the database is ${facts.database}, not PostgreSQL`]
  const functions = (['document', 'when', 'id', 'routing'] as const)
    .filter((option) => definition.options[option] !== undefined)
    .map((option) => `@Indexed has \`${option}\`, which needs the entity`)
  const key =
    shape.metadata.primaryColumns.length > 1
      ? [`the primary key of ${shape.metadata.name} has several columns`]
      : []
  const isText = parsesAs('text', textOid, facts)
  const ofDriver = isText ? [] : ['the driver has a parser of its own for texts, which documents are to it']
  const many = shape.toMany.map((branch) => branch.shape)
  const deep = [...shape.toOne, ...many.flatMap((child) => [...child.toOne, ...child.toMany])]
  return [
    ...functions,
    ...key,
    ...ofDriver,
    ...deep.flatMap((branch) => nestedToMany(branch)),
    ...placesOf(shape).flatMap((place) => ofEntity(place, facts)),
  ]
}

/** Every place of the tree whose to-many relations are at the root. */
export function placesOf(shape: Shape): Shape[] {
  return [shape, ...shape.toMany.map((branch) => branch.shape)].flatMap(joinedWith)
}

/** A place of the tree and all that is joined into the same query. */
export function joinedWith(shape: Shape): Shape[] {
  return [shape, ...shape.toOne.flatMap((branch) => joinedWith(branch.shape))]
}

/** The columns that a document holds; see `document.ts`. */
export function documentColumns({ columns }: Shape): Shape['columns'] {
  return columns.filter(({ column }) => !column.isVirtual && column.isSelect)
}

function nestedToMany({ relation, shape }: Branch): string[] {
  const isMany = relation.isOneToMany || relation.isManyToMany
  const here = isMany
    ? [
        `${relation.entityMetadata.name}.${relation.propertyPath} is a to-many relation below another relation`,
      ]
    : []
  return [...here, ...[...shape.toOne, ...shape.toMany].flatMap(nestedToMany)]
}

function ofEntity(shape: Shape, facts: Facts): string[] {
  const { metadata } = shape
  if (metadata.tableType !== 'regular' || metadata.discriminatorColumn !== undefined)
    return [`${metadata.name} is a ${metadata.tableType} with several classes, or no table`]
  return [
    ...(facts.isHeard(metadata) ? [`${metadata.name} has a listener or subscriber for afterLoad`] : []),
    ...shape.toOne.concat(shape.toMany).flatMap(({ relation }) => ofProperty(relation)),
    ...documentColumns(shape).flatMap(({ column }) => {
      const problem = ofProperty(column)
      return problem.length > 0 ? problem : ofColumn(column, facts)
    }),
  ]
}

type Property = Pick<Column, 'entityMetadata' | 'embeddedMetadata' | 'propertyName' | 'propertyPath'> &
  Partial<Pick<Relation, 'isLazy'>>

/** The oid of PostgreSQL's type `text`. */
const textOid = 25

/** PostgreSQL cuts longer names off; others are not worth the care that quoting them takes. */
const longestName = 63

function ofProperty({
  entityMetadata,
  embeddedMetadata,
  propertyName,
  propertyPath,
  isLazy,
}: Property): string[] {
  const owner = entityMetadata.name
  const names = [...(embeddedMetadata?.parentPropertyNames ?? []), propertyName]
  const odd = names.find((name) => !/^[\p{L}\p{N}_$]+$/u.test(name) || Buffer.byteLength(name) > longestName)
  if (odd !== undefined)
    return [
      `the name of ${owner}.${propertyPath} is too long, or has other characters than letters and digits`,
    ]
  const embedded = embeddedMetadata?.embeddedMetadataTree ?? []
  const holders: unknown[] = [entityMetadata.target, ...embedded.map(({ type }) => type)]
  // TypeORM makes one for a lazy relation.
  const own = isLazy ? names.slice(0, -1) : names
  return own.some((name, i) => hasAccessor(holders[i], name))
    ? [`${owner}.${propertyPath} is an accessor of the class`]
    : []
}

function hasAccessor(target: unknown, name: string): boolean {
  let prototype: unknown = typeof target === 'function' ? target.prototype : undefined
  while (typeof prototype === 'object' && prototype !== null) {
    if (Object.getOwnPropertyDescriptor(prototype, name) !== undefined) return true
    prototype = Object.getPrototypeOf(prototype)
  }
  return false
}

function ofColumn(column: Column, facts: Facts): string[] {
  const { timeZone } = facts
  const path = `${column.entityMetadata.name}.${column.propertyPath}`
  if (column.transformer) return [`${path} has a transformer`]
  if (column.isVirtualProperty) return [`${path} is a virtual column`]
  const fact = facts.column(column)
  if (fact === undefined) return [`${path} is not in the database`]
  const { oid, type } = fact
  const json = jsonTypes.get(type)
  if (json === undefined) return [`${path} is ${type}, whose JSON may differ`]
  const fits =
    (typesOfDeclared.get(column.type)?.includes(type) ?? true) &&
    (json.declaredAs === undefined || json.declaredAs === column.type)
  if (!fits || !isTextEnum(column))
    return [`${path} is declared as ${nameOf(column.type)} and is ${type}, whose JSON may differ`]
  if (json.local && !/^(Etc\/)?UTC$/.test(timeZone))
    return [`${path} is ${type}, which has no time zone, and that of this process is ${timeZone}, not UTC`]
  if (!parsesAs(type, oid, facts)) return [`${path} is ${type}, for which the driver has a parser of its own`]
  return []
}

/** Whether the driver makes of values of a type what is expected. */
function parsesAs(type: string, oid: number, { parse }: Facts): boolean {
  const examples = jsonTypes.get(type)?.examples ?? []
  try {
    return examples.every(({ text, json }) => parse && JSON.stringify(parse(oid, text)) === json)
  } catch {
    // JSON has no bigints; and a parser of the application's need not take every text.
    return false
  }
}

/** TypeORM turns the members of an enum into numbers when they look like such. */
function isTextEnum({ type, enum: members, isArray }: Column): boolean {
  if (type !== 'enum' && type !== 'simple-enum') return true
  return !isArray && members !== undefined && members.every((member) => typeof member === 'string')
}

function nameOf(type: Column['type']): string {
  return typeof type === 'function' ? type.name : type
}
