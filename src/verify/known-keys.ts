import type { DataSource, QueryRunner } from 'typeorm'

import type { RowKey } from '../capture/row-key.ts'
import type { IndexDefinition } from '../indexed.ts'
import { isFaultOfData } from '../sync/document-loader.ts'
import { keyOfValues, valuesOfKey } from '../sync/loading/key-values.ts'
import { planShape, type Shape } from '../sync/loading/load-plan.ts'
import { readRows } from '../sync/loading/queries.ts'

/** Which of some ids belong to rows. An id that is in neither set is that of a row which is gone. */
export interface KnownKeys {
  /** Ids with a row (a soft-deleted one only with `withDeleted`). */
  readonly rows: Set<RowKey>
  /** Ids that are no value of the primary key, so no row can have them. */
  readonly impossible: Set<string>
}

type Keys = readonly (readonly [RowKey, readonly unknown[]])[]

/** Looks ids up in the table, on the primary database; only the keys are read. */
export async function knownKeys(
  definition: IndexDefinition,
  ids: readonly string[],
  dataSource: DataSource,
): Promise<KnownKeys> {
  const known: KnownKeys = { rows: new Set(), impossible: new Set() }
  const wanted: [RowKey, readonly unknown[]][] = []
  for (const id of ids) {
    try {
      wanted.push([id, valuesOfKey(definition.metadata, id, dataSource.driver)])
    } catch {
      known.impossible.add(id)
    }
  }
  const queryRunner = dataSource.createQueryRunner('master')
  try {
    await lookUp(queryRunner, keysOnly(definition), wanted, known)
  } finally {
    await queryRunner.release()
  }
  // The text of such a key may just not lead back to the value in the database.
  const isTransformed = definition.metadata.primaryColumns.some(
    ({ transformer }) => transformer !== undefined,
  )
  return isTransformed ? { ...known, impossible: new Set() } : known
}

/** One id that the database does not understand ("abc" for a number) must not hold up the others: halves tell which. */
async function lookUp(queryRunner: QueryRunner, shape: Shape, keys: Keys, known: KnownKeys): Promise<void> {
  if (keys.length === 0) return
  const { metadata, identity } = shape
  const { driver } = queryRunner.connection
  try {
    const values = keys.map(([, ofKey]) => ofKey)
    for (const row of await readRows(queryRunner, shape, values))
      known.rows.add(
        keyOfValues(
          metadata,
          identity.map((name) => row[name]),
          driver,
        ),
      )
  } catch (error) {
    if (!isFaultOfData(error)) throw error
    const [only] = keys
    if (only !== undefined && keys.length === 1) {
      known.impossible.add(only[0])
      return
    }
    const middle = keys.length >> 1
    await lookUp(queryRunner, shape, keys.slice(0, middle), known)
    await lookUp(queryRunner, shape, keys.slice(middle), known)
  }
}

function keysOnly({ metadata, options }: IndexDefinition): Shape {
  const shape = planShape(metadata, [], options.withDeleted === true)
  return { ...shape, columns: shape.columns.filter(({ column }) => column.isPrimary) }
}
