import type { QueryRunner } from 'typeorm'

import {
  childrenQuery,
  ofKeys,
  pairsQuery,
  parentNames,
  rowsQuery,
  targetNames,
  type KeyedQuery,
} from '../loading/queries.ts'
import type { Branch, Shape } from '../loading/load-plan.ts'
import { jsonTypes } from './column-types.ts'
import { documentColumns, joinedWith, placesOf, type ColumnFact, type Facts } from './decision.ts'

/** A SELECT of documents as JSON texts. Its first parameter is the array of keys. */
export interface DocumentQuery {
  readonly sql: string
  /** Parameters after the first. */
  readonly parameters: readonly unknown[]
}

/** Names in the rows of a {@link DocumentQuery}; after `key` comes the number of the key's part. */
export const names = { document: 'document', known: 'known', key: 'k' } as const

/** A JSON object in SQL: what its properties hold, or objects again (embedded entities). */
interface SqlObject extends Map<string, string | SqlObject> {}

/**
 * Makes the SELECT around the queries of the way through entities: what these bring for an entity becomes a row of
 * PostgreSQL, which it writes as JSON, the rows of to-many relations as an array in the order of their keys. The
 * document is null where a value would be written otherwise (see `column-types.ts`), and everywhere when a column has
 * another type than it had when the query was made.
 */
export function documentQuery(queryRunner: QueryRunner, shape: Shape, facts: Facts): DocumentQuery {
  const escape = (name: string): string => queryRunner.connection.driver.escape(name)
  const sql = new DocumentSql(queryRunner, facts, escape)
  const known = sql.known(shape)
  const lists = shape.toMany.map((branch, i) => ({ branch, name: `m${i}`, sql: sql.list(branch) }))
  const own = (name: string): string => `r.${escape(name)}`
  const unusual = [...sql.unusual(shape), ...lists.map(({ name }) => `${name}.unusual`)]
  const body = sql.object(shape)
  for (const { branch, name } of lists) setIn(body, branch, `COALESCE(${name}.list, '{}')`)
  const key = shape.identity.map((name, i) => `${own(name)} AS ${names.key}${i}`)
  return {
    sql: [
      `SELECT ${key.join(', ')},`,
      `s.known AS ${names.known},`,
      `CASE WHEN ${anyOf(['NOT s.known', ...unusual])} THEN NULL ELSE row_to_json(d.*)::text END AS ${names.document}`,
      `FROM (${sql.keyed(rowsQuery(queryRunner, shape))}) r CROSS JOIN (${known.sql}) s (known)`,
      ...lists.map(
        (list) => `LEFT JOIN (${list.sql}) ${list.name} ON ${list.name}.parent = ${own(shape.identity[0]!)}`,
      ),
      `CROSS JOIN LATERAL (SELECT ${sql.columns(body)}) d`,
    ].join('\n'),
    parameters: known.parameters,
  }
}

class DocumentSql {
  readonly #queryRunner: QueryRunner
  readonly #facts: Facts
  readonly #escape: (name: string) => string

  constructor(queryRunner: QueryRunner, facts: Facts, escape: (name: string) => string) {
    this.#queryRunner = queryRunner
    this.#facts = facts
    this.#escape = escape
  }

  /** A query of TypeORM's, restricted to the keys of the first parameter. */
  keyed(query: KeyedQuery): string {
    return ofKeys(query, [], true).getQueryAndParameters()[0]
  }

  /** The document of a row `r`. */
  object(shape: Shape): SqlObject {
    const body: SqlObject = new Map()
    for (const { column, name } of documentColumns(shape)) {
      const value = this.#own(name)
      setIn(body, { relation: column }, this.#type(column)?.json?.(value) ?? value)
    }
    for (const branch of shape.toOne) {
      const { identity } = branch.shape
      const isMissing = anyOf(identity.map((name) => `${this.#own(name)} IS NULL`))
      const one = this.#nested(this.object(branch.shape))
      setIn(body, branch, `CASE WHEN ${isMissing} THEN NULL ELSE ${one} END`)
    }
    return body
  }

  /** What a SELECT has to list for an object. */
  columns(body: SqlObject): string {
    return Array.from(body, ([name, value]) => {
      const sql = typeof value === 'string' ? value : this.#nested(value)
      return `${sql} AS ${this.#escape(name)}`
    }).join(', ')
  }

  /** Conditions under which a row `r` has values that would be written otherwise. */
  unusual(shape: Shape): string[] {
    return joinedWith(shape).flatMap((joined) =>
      documentColumns(joined).flatMap(
        ({ column, name }) => this.#type(column)?.unusual?.(this.#own(name)) ?? [],
      ),
    )
  }

  /** The rows of a to-many relation, as one array for each parent. */
  list({ relation, shape }: Branch): string {
    const branch = { relation, shape }
    const key = shape.identity.map((name) => this.#own(name)).join(', ')
    const [parent] = parentNames(relation.entityMetadata.primaryColumns)
    const isPair = relation.isManyToMany
    const source = isPair
      ? `(${this.#pairs(branch)}) p JOIN (${this.#all(shape)}) r ON ${this.#isTarget(shape)}`
      : `(${this.keyed(childrenQuery(this.#queryRunner, branch))}) r`
    // One-to-one relations without a unique constraint: the loader says which row counts.
    const repeated = shape.toOne.length === 0 ? [] : [`count(*) > count(DISTINCT (${key}))`]
    const of = `${isPair ? 'p' : 'r'}.${this.#escape(parent!)}`
    return (
      `SELECT ${of} AS parent, array_agg(d.* ORDER BY ${key}) AS list, ` +
      `${anyOf([`bool_or(${anyOf(this.unusual(shape))})`, ...repeated])} AS unusual ` +
      `FROM ${source} CROSS JOIN LATERAL (SELECT ${this.columns(this.object(shape))}) d GROUP BY ${of}`
    )
  }

  /** Whether the columns of documents still have the types that they had. */
  known(shape: Shape): DocumentQuery {
    const columns = placesOf(shape)
      .flatMap(documentColumns)
      .flatMap(({ column }) => this.#facts.column(column) ?? [])
    const distinct = [...new Map(columns.map((fact) => [`${fact.table} ${fact.name}`, fact])).values()]
    return {
      sql:
        // By name, as the rows are read: another table may have taken the place of the one that was known.
        'SELECT count(*) = cardinality($2) FROM unnest($2::text[], $3::name[], $4::oid[]) AS known (t, c, y) ' +
        'JOIN pg_attribute a ON a.attrelid = to_regclass(t) AND a.attname = c AND a.atttypid = y',
      parameters: (['table', 'name', 'oid'] as const).map((part) =>
        distinct.map((fact: ColumnFact) => fact[part]),
      ),
    }
  }

  #pairs(branch: Branch): string {
    const { query, ...keys } = pairsQuery(this.#queryRunner, branch)
    // A junction table without a key may have a pair twice.
    return this.keyed({ query: query.distinct(), ...keys })
  }

  #all(shape: Shape): string {
    return rowsQuery(this.#queryRunner, shape).query.getQuery()
  }

  #isTarget({ identity, metadata }: Shape): string {
    const keys = targetNames(metadata.primaryColumns)
    return identity.map((name, i) => `${this.#own(name)} = p.${this.#escape(keys[i]!)}`).join(' AND ')
  }

  #nested(body: SqlObject): string {
    // No property can have this name: that of a column would be taken for the column.
    const one = this.#escape('the object')
    return `(SELECT ${one} FROM (SELECT ${this.columns(body)}) ${one})`
  }

  #own(name: string): string {
    return `r.${this.#escape(name)}`
  }

  #type(column: Parameters<Facts['column']>[0]): ReturnType<typeof jsonTypes.get> {
    return jsonTypes.get(this.#facts.column(column)?.type ?? '')
  }
}

/** Where a document has the property of a column or relation: those of embedded entities are in objects. */
function setIn(
  body: SqlObject,
  { relation }: { readonly relation: Pick<Branch['relation'], 'embeddedMetadata' | 'propertyName'> },
  sql: string,
): void {
  let at = body
  for (const name of relation.embeddedMetadata?.parentPropertyNames ?? []) {
    const inner = at.get(name)
    const next: SqlObject = inner instanceof Map ? inner : new Map()
    at.set(name, next)
    at = next
  }
  at.set(relation.propertyName, sql)
}

function anyOf(conditions: readonly string[]): string {
  return conditions.length === 0 ? 'FALSE' : conditions.join(' OR ')
}
