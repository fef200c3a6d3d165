/** Conditions on key columns, written as SQL with named parameters. */

import type { DataSource } from 'typeorm'

/** The values of one key as the database has them, in the order of its columns. */
export type KeyValues = readonly unknown[]

/** A condition for `where` and `andWhere` of TypeORM's builders. */
export interface Condition {
  readonly sql: string
  readonly parameters: Record<string, unknown>
}

/** The SQL condition for rows with one of the keys. */
export function keyCondition(
  names: readonly string[],
  keys: readonly KeyValues[],
  arrays: boolean,
): Condition {
  const [name] = names
  if (names.length === 1 && name !== undefined) {
    const values = keys.map(([value]) => parameterOf(value))
    return arrays
      ? { sql: `${name} = ANY(:keys)`, parameters: { keys: values } }
      : { sql: `${name} IN (:...keys)`, parameters: { keys: values } }
  }
  const parameters: Record<string, unknown> = {}
  const alternatives = keys.map((key, row) => {
    const parts = names.map((name, column) => {
      parameters[`k${row}_${column}`] = parameterOf(key[column])
      return `${name} = :k${row}_${column}`
    })
    return `(${parts.join(' AND ')})`
  })
  return { sql: alternatives.join(' OR '), parameters }
}

/** `after`: keys behind this one; `upTo`: this one and those before it. */
export type Bound = 'after' | 'upTo'

/**
 * The SQL condition for keys on one side of a key, in the order of its columns.
 *
 * @param comparesRows - whether the database compares rows, see {@link comparesRows}. Elsewhere it is written out, with a
 *   bound of the first column alone in front, which an index can be used for
 */
export function keyBound(
  names: readonly string[],
  values: KeyValues,
  bound: Bound,
  comparesRows: boolean,
): Condition {
  const parameters = Object.fromEntries(values.map((value, i) => [`${bound}${i}`, parameterOf(value)]))
  const marks = names.map((_, i) => `:${bound}${i}`)
  const [first = '', ...others] = names
  const sign = bound === 'after' ? '>' : '<='
  if (others.length === 0) return { sql: `${first} ${sign} ${marks[0]}`, parameters }
  if (comparesRows) return { sql: `(${names.join(', ')}) ${sign} (${marks.join(', ')})`, parameters }
  const strict = bound === 'after' ? '>' : '<'
  const alternatives = names.map((name, i) => {
    const equal = names.slice(0, i).map((other, j) => `${other} = ${marks[j]}`)
    const last = i === names.length - 1 ? sign : strict
    return `(${[...equal, `${name} ${last} ${marks[i]}`].join(' AND ')})`
  })
  return { sql: `${first} ${strict}= ${marks[0]} AND (${alternatives.join(' OR ')})`, parameters }
}

const comparing = new Set<string>([
  'postgres',
  'cockroachdb',
  'aurora-postgres',
  'better-sqlite3',
  'sqlite',
  'sqljs',
])

/** Whether a database compares rows, `(a, b) > (x, y)`, and uses an index for it. */
export function comparesRows(type: DataSource['options']['type']): boolean {
  return comparing.has(type)
}

// pg can be told to parse bigints as such, and does not take them in arrays.
function parameterOf(value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}
