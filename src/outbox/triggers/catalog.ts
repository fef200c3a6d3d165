import type { QueryRunner } from 'typeorm'
import { z } from 'zod'

import { quoteName } from './sql.ts'

/** What a column is in the database. */
export interface ColumnFact {
  /** The type whose texts the driver is given; of a domain, the type below it. */
  readonly typeId: number
  /** True when it has the same text exactly when the operator `=` says that it is the same. */
  readonly equalByText: boolean
  /** True when a cast to text gives what the driver is given, whatever the settings of the session are. */
  readonly plainText: boolean
  /** True when it is computed when it is read: triggers do not see its value. */
  readonly virtual: boolean
  /** True when it is never NULL. */
  readonly required: boolean
}

export type ColumnFacts = ReadonlyMap<string, ColumnFact>

/** A table, or a partition or child of it, that statements may name. */
export interface Relation {
  readonly schema: string
  readonly name: string
  /** As `pg_class.relkind` has it: r table, p partitioned table, f foreign table, v view, m materialized view. */
  readonly kind: string
}

/** A table from which another one inherits, or of which it is a partition. */
export interface Ancestor extends Relation {
  readonly columns: readonly string[]
}

/** A table with everything that inherits from it, and everything that it inherits from. */
export interface TableFacts {
  readonly path: string
  /** The table itself first. Empty when there is none. */
  readonly family: readonly Relation[]
  readonly ancestors: readonly Ancestor[]
  readonly columns: ColumnFacts
  /** Columns of the indexes that let no two rows be the same. */
  readonly uniqueKeys: readonly (readonly string[])[]
}

const familySchema = z.array(
  z.object({ path: z.string(), schema: z.string(), name: z.string(), kind: z.string() }),
)
const ancestorsSchema = z.array(
  z.object({
    path: z.string(),
    schema: z.string(),
    name: z.string(),
    kind: z.string(),
    columns: z.array(z.string()),
  }),
)
const keysSchema = z.array(z.object({ path: z.string(), columns: z.array(z.string()) }))
const columnsSchema = z.array(
  z.object({
    path: z.string(),
    name: z.string(),
    typeId: z.coerce.number(),
    equalByText: z.boolean(),
    plainText: z.boolean(),
    virtual: z.boolean(),
    required: z.boolean(),
  }),
)

/** The paths of tables as TypeORM has them, and the tables that they mean. `$1`: paths, `$2`: the same, quoted. */
const tables = `SELECT t.path, to_regclass(t.quoted)::oid AS oid FROM unnest($1::text[], $2::text[]) AS t (path, quoted)`

/** What decides about the triggers of tables, in the order of their paths. */
export async function readTables(queryRunner: QueryRunner, paths: readonly string[]): Promise<TableFacts[]> {
  const parameters = parametersOf(paths)
  const family = familySchema.parse(
    await queryRunner.query(
      `WITH RECURSIVE family AS (
         SELECT path, oid, 0 AS level FROM (${tables}) t WHERE oid IS NOT NULL
         UNION SELECT f.path, i.inhrelid, f.level + 1 FROM family f JOIN pg_inherits i ON i.inhparent = f.oid
       )
       SELECT f.path, n.nspname AS schema, c.relname AS name, c.relkind AS kind
       FROM family f JOIN pg_class c ON c.oid = f.oid JOIN pg_namespace n ON n.oid = c.relnamespace
       ORDER BY f.path, f.level, n.nspname, c.relname`,
      parameters,
    ),
  )
  const ancestors = ancestorsSchema.parse(
    await queryRunner.query(
      `WITH RECURSIVE ancestors AS (
         SELECT t.path, i.inhparent FROM (${tables}) t JOIN pg_inherits i ON i.inhrelid = t.oid
         UNION SELECT a.path, i.inhparent FROM ancestors a JOIN pg_inherits i ON i.inhrelid = a.inhparent
       )
       SELECT a.path, n.nspname AS schema, c.relname AS name, c.relkind AS kind,
         ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS columns
       FROM ancestors a JOIN pg_class c ON c.oid = a.inhparent JOIN pg_namespace n ON n.oid = c.relnamespace
       ORDER BY a.path, n.nspname, c.relname`,
      parameters,
    ),
  )
  const keys = keysSchema.parse(
    await queryRunner.query(
      `SELECT t.path, array_agg(a.attname::text) AS columns
       FROM (${tables}) t JOIN pg_index i ON i.indrelid = t.oid
       JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])
       WHERE i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
       GROUP BY t.path, i.indexrelid`,
      parameters,
    ),
  )
  const columns = await columnsOf(queryRunner, parameters)
  return paths.map((path) => ({
    path,
    family: family.filter((one) => one.path === path),
    ancestors: ancestors.filter((one) => one.path === path),
    columns: columns.get(path) ?? new Map(),
    uniqueKeys: keys.filter((one) => one.path === path).map((one) => one.columns),
  }))
}

/** The columns of tables by path and name; nothing of tables that are not there. */
export async function readColumns(
  queryRunner: QueryRunner,
  paths: readonly string[],
): Promise<ReadonlyMap<string, ColumnFacts>> {
  return columnsOf(queryRunner, parametersOf(paths))
}

async function columnsOf(
  queryRunner: QueryRunner,
  parameters: string[][],
): Promise<Map<string, Map<string, ColumnFact>>> {
  const rows = columnsSchema.parse(
    await queryRunner.query(
      `WITH RECURSIVE found AS (
         SELECT t.path, a.attname AS name, a.atttypid AS type, a.attcollation AS collation, a.attgenerated AS generated,
           a.attnotnull AS required
         FROM (${tables}) t JOIN pg_attribute a ON a.attrelid = t.oid WHERE a.attnum > 0 AND NOT a.attisdropped
         UNION ALL
         SELECT f.path, f.name, y.typbasetype, f.collation, f.generated, f.required OR y.typnotnull
         FROM found f JOIN pg_type y ON y.oid = f.type WHERE y.typtype = 'd'
       )
       SELECT f.path, f.name, y.oid AS "typeId", f.generated = 'v' AS virtual,
         (y.typtype = 'e' OR y.oid = ANY ($3::regtype[]::oid[])) AND coalesce(c.collisdeterministic, true) AS "equalByText",
         y.oid = ANY ($4::regtype[]::oid[]) AS "plainText", f.required
       FROM found f JOIN pg_type y ON y.oid = f.type AND y.typtype <> 'd'
       LEFT JOIN pg_collation c ON c.oid = f.collation`,
      [...parameters, equalByText, plainText],
    ),
  )
  const columns = new Map<string, Map<string, ColumnFact>>()
  for (const { path, name, ...fact } of rows) {
    const ofTable = columns.get(path) ?? new Map<string, ColumnFact>()
    columns.set(path, ofTable.set(name, fact))
  }
  return columns
}

// Not numeric (1.0 = 1.00), nor types of extensions, whose operators may be in any schema.
const always = ['smallint', 'integer', 'bigint', 'uuid', 'text', 'character varying']
const equalByText = [...always, 'boolean', 'bytea', 'date', 'timestamp', 'timestamptz']
// Nor enums: whoever owns one may give it a cast to text, a function of his that would run here with the rights of another.
const plainText = [...always, 'numeric']

function parametersOf(paths: readonly string[]): string[][] {
  return [[...paths], paths.map((path) => path.split('.').map(quoteName).join('.'))]
}
