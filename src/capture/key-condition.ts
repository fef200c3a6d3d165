/** Conditions on key columns, written as SQL with named parameters. */

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

/**
 * "Later in the order of these columns than these values".
 *
 * @param comparesRows - whether the database finds the first such row in its index when rows are compared (PostgreSQL,
 * which reads all rows before it otherwise). Not every database compares rows, so elsewhere it is written out.
 */
export function laterThan(names: readonly string[], values: KeyValues, comparesRows: boolean): Condition {
  const parameters = Object.fromEntries(values.map((value, i) => [`after${i}`, value]))
  if (comparesRows) {
    const row = names.map((_, i) => `:after${i}`)
    return { sql: `(${names.join(', ')}) > (${row.join(', ')})`, parameters }
  }
  const alternatives = names.map((name, i) => {
    const equal = names.slice(0, i).map((other, j) => `${other} = :after${j}`)
    return `(${[...equal, `${name} > :after${i}`].join(' AND ')})`
  })
  return { sql: `(${alternatives.join(' OR ')})`, parameters }
}

// pg can be told to parse bigints as such, and does not take them in arrays.
function parameterOf(value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}
