/** `after`: keys behind this one; `upTo`: this one and those before it. */
export type Bound = 'after' | 'upTo'

/**
 * The SQL condition for keys on one side of a key.
 *
 * @param comparesRows - the database compares rows, `(a, b) > (x, y)`, and uses an index for it. Elsewhere it is
 *   written out, with a bound of the first column alone in front, which an index can be used for
 */
export function keyBound(
  columns: readonly string[],
  values: readonly unknown[],
  bound: Bound,
  comparesRows: boolean,
): { sql: string; parameters: Record<string, unknown> } {
  const parameters = Object.fromEntries(values.map((value, i) => [`${bound}${i}`, parameterOf(value)]))
  const names = columns.map((_, i) => `:${bound}${i}`)
  const [first = '', ...others] = columns
  const sign = bound === 'after' ? '>' : '<='
  if (others.length === 0) return { sql: `${first} ${sign} ${names[0]}`, parameters }
  if (comparesRows) return { sql: `(${columns.join(', ')}) ${sign} (${names.join(', ')})`, parameters }
  const strict = bound === 'after' ? '>' : '<'
  const alternatives = columns.map((column, i) => {
    const equal = columns.slice(0, i).map((other, j) => `${other} = ${names[j]}`)
    const last = i === columns.length - 1 ? sign : strict
    return `(${[...equal, `${column} ${last} ${names[i]}`].join(' AND ')})`
  })
  return { sql: `${first} ${strict}= ${names[0]} AND (${alternatives.join(' OR ')})`, parameters }
}

// A driver may be told to parse bigints as such, and not take them as parameters.
function parameterOf(value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}
