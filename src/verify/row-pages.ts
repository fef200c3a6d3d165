import { MoreThan, MoreThanOrEqual, type ObjectLiteral } from 'typeorm'

import { matchingKeys, type Where } from '../capture/key-pages.ts'
import type { RowKey } from '../capture/row-key.ts'
import { RedstreamError } from '../errors.ts'
import type { IndexDefinition } from '../indexed.ts'
import { loadRows } from '../sync/document-loader.ts'
import type { IndexSite } from '../sync/site.ts'

type Rows = Pick<IndexSite, 'definition' | 'dataSource'>

/** The keys of all rows, in pages, in key order. */
export function allRows({ definition, dataSource }: Rows): AsyncGenerator<RowKey[]> {
  return matchingKeys(dataSource, undefined, definition, {})
}

/**
 * The keys of the rows whose update-date column says that they were written in the last `ms`.
 *
 * @throws RedstreamError USAGE when the entity has no such column
 */
export async function* rowsSince({ definition, dataSource }: Rows, ms: number): AsyncGenerator<RowKey[]> {
  const column = updateDateColumn(definition)
  const where: ObjectLiteral = {}
  // Databases know no years before the common era, or not these.
  const since = Math.max(0, (await databaseNow(dataSource, column)) - ms)
  column.setEntityValue(where, MoreThanOrEqual(new Date(since)))
  yield* matchingKeys(dataSource, undefined, definition, where)
}

/**
 * The keys of some rows: ranges of the table in key order, each beginning at one of the given rows.
 *
 * @param starts - keys of rows; none: one range from the beginning of the table
 * @param most - rows of all ranges together
 */
export async function* rowRanges(
  { definition, dataSource }: Rows,
  starts: readonly RowKey[],
  most: number,
): AsyncGenerator<RowKey[]> {
  const { rows } = await loadRows(definition, starts, dataSource)
  const ranges = rows.size === 0 ? [{}] : Array.from(rows.values(), (row) => fromRow(definition, row))
  // Ranges may overlap.
  const seen = new Set<RowKey>()
  for (const where of ranges) {
    let left = Math.ceil(most / ranges.length)
    for await (const page of matchingKeys(dataSource, undefined, definition, where)) {
      const some = page.slice(0, left)
      const unseen = some.filter((key) => !seen.has(key))
      for (const key of unseen) seen.add(key)
      if (unseen.length > 0) yield unseen
      left -= some.length
      if (left <= 0) break
    }
  }
}

type Column = IndexDefinition['metadata']['columns'][number]

function updateDateColumn({ metadata, name }: IndexDefinition): Column {
  if (metadata.updateDateColumn) return metadata.updateDateColumn
  throw new RedstreamError(
    'USAGE',
    `--since needs to know when a row was written, but ${metadata.name} has no @UpdateDateColumn; ` +
      `verify "${name}" as a whole, or with --sample or --ids`,
  )
}

/** The clock that writes the column. What has no time zone is in that of the database's session. */
async function databaseNow(dataSource: IndexSite['dataSource'], column: Column): Promise<number> {
  if (dataSource.options.type !== 'postgres') return Date.now()
  const isZoned = String(column.type).includes('tz') || String(column.type).includes('with time zone')
  const queryRunner = dataSource.createQueryRunner('master')
  try {
    const sql = `SELECT ${isZoned ? 'CURRENT_TIMESTAMP' : 'LOCALTIMESTAMP'} AS now`
    const [row] = (await queryRunner.query(sql)) as { now: Date }[]
    return row!.now.getTime()
  } finally {
    await queryRunner.release()
  }
}

/** The condition for this row and all after it in key order, written out because not every database compares rows. */
function fromRow({ metadata }: IndexDefinition, row: ObjectLiteral): Where<ObjectLiteral> {
  const columns = metadata.primaryColumns
  return columns.map((column, i) => {
    const where: ObjectLiteral = {}
    for (const equal of columns.slice(0, i)) equal.setEntityValue(where, equal.getEntityValue(row))
    const later = i === columns.length - 1 ? MoreThanOrEqual : MoreThan
    column.setEntityValue(where, later(column.getEntityValue(row)))
    return where
  })
}
