import { z } from 'zod'

import type { RowTexts } from '../capture/watched-table.ts'

/**
 * What a value in `before` or `after` begins with when its column is gone from the table: triggers outlive the columns
 * that they tell of. FROZEN: it is in the functions of every database.
 */
export const missingColumn = 'redstream:this-column-is-missing:5d0c9e41'

const texts = z.record(z.string(), z.array(z.string().nullable()))

/** The body of an entry of the kind `rows`: values of rows that one statement changed, column by column. */
const changesSchema = z.object({
  op: z.enum(['insert', 'update', 'delete']),
  key: texts,
  /** Foreign keys that the rows had. */
  before: texts.exactOptional(),
  /** Foreign keys that the rows have. */
  after: texts.exactOptional(),
})

/** Or that a TRUNCATE removed rows which it could not tell of. */
const bodySchema = z.discriminatedUnion('op', [changesSchema, z.object({ op: z.literal('truncate') })])

/** A row as it was and as it is, as far as it was and is. */
export interface RowStates {
  readonly before?: RowTexts
  readonly after?: RowTexts
}

/**
 * The rows that a body tells of.
 *
 * @throws SyntaxError, or an error of zod, when it cannot be read; Error naming a column that the table does not have any
 * more, or when rows are not known
 */
export function rowsIn(body: string): RowStates[] {
  const parsed = bodySchema.parse(JSON.parse(body))
  if (parsed.op === 'truncate') throw new Error(unseenRows)
  const { op, key, before = {}, after = {} } = parsed
  for (const [column, values] of Object.entries(key)) if (values.includes(null)) throw missing(column)
  for (const [column, values] of [...Object.entries(before), ...Object.entries(after)])
    if (values.some((value) => value?.startsWith(missingColumn))) throw missing(column)
  const count = Object.values(key)[0]?.length ?? 0
  return Array.from({ length: count }, (_, index): RowStates => {
    const was = (): RowTexts => rowAt(index, key, before)
    const is = (): RowTexts => rowAt(index, key, after)
    if (op === 'insert') return { after: is() }
    return op === 'delete' ? { before: was() } : { before: was(), after: is() }
  })
}

function rowAt(index: number, ...columns: z.infer<typeof texts>[]): RowTexts {
  return Object.fromEntries(
    columns.flatMap((ofKind) =>
      Object.entries(ofKind).map(([name, values]): [string, string | null] => [name, values[index] ?? null]),
    ),
  )
}

const unseenRows =
  'a TRUNCATE may have removed rows that its triggers could not see, because its transaction was REPEATABLE READ or ' +
  'SERIALIZABLE, or because of FORCE ROW LEVEL SECURITY: run `redstream verify NAME --repair` and delete this entry'

function missing(column: string): Error {
  return new Error(
    `the column "${column}" was missing when its triggers told of these rows: run \`redstream init\` with entities that ` +
      'fit the table, then `redstream verify NAME --repair`, and delete this entry',
  )
}
