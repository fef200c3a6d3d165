import type { DataSource } from 'typeorm'
import { z } from 'zod'

import type { WatchedTable } from '../capture/watched-table.ts'

/**
 * A table, or one of its partitions. Each partition has an identity of its own; that of their table says how the log writes
 * what they tell.
 */
export interface TablePart {
  /** Quoted, with its schema. */
  readonly path: string
  readonly kind: string
  readonly persistence: string
  /** `d`: the primary key, `f`: the whole row, `i`: an index, `n`: nothing. */
  readonly identity: string
  readonly primaryKey: readonly string[]
  /** Columns of the index that is the identity. */
  readonly identityIndex: readonly string[]
  /** Other tables inherit from it (INHERITS), whose rows are rows of it too. */
  readonly hasHeirs: boolean
  /** It has generated columns that are not stored. */
  readonly hasVirtualColumns: boolean
}

/** A watched table as the database has it. */
export interface TableInDatabase {
  readonly watched: WatchedTable
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** Quoted, with its schema. */
  readonly path: string
  readonly parts: readonly TablePart[]
}

/** A publication as the database has it. */
export interface Publication {
  /** Numbers of its tables. */
  readonly tables: ReadonlySet<number>
  /** Numbers of those of which it tells only some rows or columns. */
  readonly narrowed: ReadonlySet<number>
  /** Its tables' names, quoted, with their schemas, in the same order. */
  readonly paths: readonly string[]
  readonly allTables: boolean
  /**
   * It tells of all kinds of writes, of partitions by the names of their tables, and of generated columns (PostgreSQL 18
   * or newer; those before leave them out).
   */
  readonly isComplete: boolean
}

const partSchema = z.object({
  n: z.coerce.number(),
  oid: z.coerce.number(),
  schema: z.string(),
  name: z.string(),
  path: z.string(),
  part: z.string(),
  kind: z.string(),
  persistence: z.string(),
  identity: z.string(),
  primaryKey: z.array(z.string()),
  identityIndex: z.array(z.string()),
  hasHeirs: z.boolean(),
  hasVirtualColumns: z.boolean(),
})

const columnsOfIndex = (which: string): string => `ARRAY(
  SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
  WHERE i.indrelid = p.oid AND i.${which})`

const partsSql = `
SELECT w.n, t.oid, n.nspname AS schema, t.relname AS name, format('%I.%I', n.nspname, t.relname) AS path,
  format('%I.%I', m.nspname, p.relname) AS part, p.relkind AS kind, p.relpersistence AS persistence,
  p.relreplident AS identity, ${columnsOfIndex('indisprimary')} AS "primaryKey",
  ${columnsOfIndex('indisreplident')} AS "identityIndex",
  EXISTS (
    SELECT FROM pg_inherits i JOIN pg_class h ON h.oid = i.inhrelid WHERE i.inhparent = p.oid AND NOT h.relispartition
  ) AS "hasHeirs",
  EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = p.oid AND a.attgenerated = 'v') AS "hasVirtualColumns"
FROM unnest($1::text[]) WITH ORDINALITY AS w (path, n)
JOIN pg_class t ON t.oid = to_regclass(w.path)
JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN LATERAL (
  SELECT relid FROM pg_partition_tree(t.oid) WHERE isleaf UNION SELECT t.oid
) leaf ON true
JOIN pg_class p ON p.oid = leaf.relid
JOIN pg_namespace m ON m.oid = p.relnamespace
ORDER BY w.n, part`

/** Which of the watched tables there are, with their partitions; those that are missing are not among them. */
export async function tablesInDatabase(
  dataSource: DataSource,
  watched: readonly WatchedTable[],
): Promise<TableInDatabase[]> {
  const quote = (name: string): string => dataSource.driver.escape(name)
  const paths = watched.map(({ metadata: { schema, tableName } }) =>
    schema === undefined ? quote(tableName) : `${quote(schema)}.${quote(tableName)}`,
  )
  const rows = z.array(partSchema).parse(await dataSource.query(partsSql, [paths]))
  return [...Map.groupBy(rows, ({ n }) => n)].map(([n, parts]) => {
    const { oid, schema, name, path } = parts[0]!
    return {
      watched: watched[n - 1]!,
      oid,
      schema,
      name,
      path,
      parts: parts.map((one) => ({ ...one, path: one.part })),
    }
  })
}

const publicationSchema = z.object({
  tables: z.array(z.coerce.number()),
  narrowed: z.array(z.coerce.number()),
  paths: z.array(z.string()),
  allTables: z.boolean(),
  isComplete: z.boolean(),
})

// Columns that not every version has are read as JSON.
const publicationSql = `
SELECT COALESCE(array_agg(r.prrelid ORDER BY r.prrelid) FILTER (WHERE r.oid IS NOT NULL), '{}') AS tables,
  COALESCE(array_agg(r.prrelid) FILTER (
    WHERE to_jsonb(r) ->> 'prqual' IS NOT NULL OR to_jsonb(r) ->> 'prattrs' IS NOT NULL), '{}') AS narrowed,
  COALESCE(array_agg(format('%I.%I', n.nspname, c.relname) ORDER BY r.prrelid) FILTER (WHERE r.oid IS NOT NULL), '{}')
    AS paths,
  p.puballtables AS "allTables",
  p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND p.pubviaroot
    AND COALESCE(to_jsonb(p) ->> 'pubgencols', 's') = 's' AS "isComplete"
FROM pg_publication p
LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid
LEFT JOIN pg_class c ON c.oid = r.prrelid
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.pubname = $1
GROUP BY p.oid`

/** The publication of a name; undefined when there is none. */
export async function publicationInDatabase(
  dataSource: DataSource,
  name: string,
): Promise<Publication | undefined> {
  const [row] = z.array(publicationSchema).parse(await dataSource.query(publicationSql, [name]))
  return row === undefined
    ? undefined
    : { ...row, tables: new Set(row.tables), narrowed: new Set(row.narrowed) }
}

/**
 * Why the log cannot tell of a table, or PostgreSQL would refuse the application's writes once it is published; undefined
 * when it can.
 */
export function partProblem(part: TablePart): string | undefined {
  const { kind, persistence, identity, primaryKey, identityIndex, hasHeirs } = part
  if (kind !== 'r' && kind !== 'p') return 'is no table, and the log tells of tables alone'
  if (persistence !== 'p') return 'is not in the log: ALTER TABLE … SET LOGGED'
  if (hasHeirs)
    return (
      'has tables that inherit from it (INHERITS), and the log tells of their rows by their own names: choose capture ' +
      '"trigger", or make them partitions'
    )
  const hasKey = identity === 'f' || primaryKey.length > 0 || identityIndex.length > 0
  if (!hasKey)
    return (
      'has no primary key, and PostgreSQL would refuse updates and deletes of a published table without one: add it ' +
      '(ALTER TABLE … ADD PRIMARY KEY), or let the log tell whole rows (ALTER TABLE … REPLICA IDENTITY FULL)'
    )
  return identity === 'f' ? wholeRowProblem(part) : undefined
}

/** Why PostgreSQL would refuse updates and deletes of a published table whose log tells whole rows. */
export function wholeRowProblem({ hasVirtualColumns }: TablePart): string | undefined {
  if (!hasVirtualColumns) return undefined
  return (
    'has a virtual generated column, and PostgreSQL refuses updates and deletes of a published table with one when the ' +
    'log tells whole rows (REPLICA IDENTITY FULL): make the column STORED, or choose capture "trigger"'
  )
}

/** The columns that the log tells of a row as it was. */
function identityOf({ identity, primaryKey, identityIndex }: TablePart): readonly string[] | 'all' {
  if (identity === 'f') return 'all'
  if (identity === 'd') return primaryKey
  return identity === 'i' ? identityIndex : []
}

/** The columns that are needed of a row as it was, by their names in the database, and that the log does not tell. */
export function missingIdentity({ key, former }: WatchedTable, part: TablePart): string[] {
  const told = identityOf(part)
  if (told === 'all') return []
  return [...key, ...former].map(({ databaseName }) => databaseName).filter((name) => !told.includes(name))
}
