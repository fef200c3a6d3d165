import type { DataSource, QueryRunner } from 'typeorm'
import { z } from 'zod'

import { isHeardOf } from '../loading/after-load.ts'
import { readingFailed } from '../loading/queries.ts'
import type { Shape } from '../loading/load-plan.ts'
import { placesOf, type ColumnFact, type Facts } from './decision.ts'

const rowsSchema = z.array(
  z.object({
    path: z.string(),
    table: z.string(),
    name: z.string(),
    oid: z.coerce.number(),
    type: z.string(),
  }),
)

/** Asks the database and the driver for what decides about the documents of a shape. */
export async function readFacts(queryRunner: QueryRunner, shape: Shape): Promise<Facts> {
  const { connection } = queryRunner
  const database = connection.options.type
  const columns =
    database === 'postgres' ? await readColumns(queryRunner, shape) : new Map<string, ColumnFact>()
  return {
    database,
    timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    parse: parserOf(connection),
    column: ({ entityMetadata, databaseName }) => columns.get(nameOf(entityMetadata.tablePath, databaseName)),
    isHeard: (metadata) => isHeardOf(connection, metadata),
  }
}

async function readColumns(queryRunner: QueryRunner, shape: Shape): Promise<Map<string, ColumnFact>> {
  const { driver } = queryRunner.connection
  const paths = [...new Set(placesOf(shape).map(({ metadata }) => metadata.tablePath))]
  const escaped = paths.map((path) =>
    path
      .split('.')
      .map((part) => driver.escape(part))
      .join('.'),
  )
  try {
    const rows: unknown = await queryRunner.query(
      `SELECT t.path, t.escaped AS table, a.attname AS name, a.atttypid AS oid,
         CASE y.typtype WHEN 'e' THEN 'enum' ELSE format_type(y.oid, NULL) END AS type
       FROM unnest($1::text[], $2::text[]) AS t (path, escaped)
       JOIN pg_attribute a ON a.attrelid = to_regclass(t.escaped)
       JOIN pg_type y ON y.oid = a.atttypid
       WHERE a.attnum > 0 AND NOT a.attisdropped`,
      [paths, escaped],
    )
    return new Map(rowsSchema.parse(rows).map(({ path, ...fact }) => [nameOf(path, fact.name), fact]))
  } catch (error) {
    throw readingFailed(shape.metadata.name, error)
  }
}

function nameOf(tablePath: string, column: string): string {
  return JSON.stringify([tablePath, column])
}

interface PostgresModule {
  readonly types?: { readonly getTypeParser?: (oid: number, format: 'text') => (text: string) => unknown }
}

/** The parsers that the driver has for all connections. */
function parserOf({ driver, options }: DataSource): Facts['parse'] {
  const { types, binary } = ((options as { extra?: unknown }).extra ?? {}) as {
    types?: unknown
    binary?: unknown
  }
  // Parsers of this pool alone, or for another format.
  if (types !== undefined || binary) return undefined
  const { types: module } = (driver as { postgres?: PostgresModule }).postgres ?? {}
  return module?.getTypeParser && ((oid, text) => module.getTypeParser?.(oid, 'text')(text))
}
