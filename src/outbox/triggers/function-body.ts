import { ring } from '../ring.ts'
import { missingColumn } from '../rows-body.ts'
import type { ColumnFacts } from './catalog.ts'
import { quoteName, quoteText } from './sql.ts'

/** What the functions of a table must know. All names are those of the database. */
export interface FunctionSource {
  /** The table's path, as TypeORM has it. */
  readonly path: string
  readonly key: readonly string[]
  /** Foreign keys whose former values are told. */
  readonly former: readonly string[]
  /** An update of none of these is not told. */
  readonly watched: readonly string[]
  readonly columns: ColumnFacts
  /** The outbox, quoted. */
  readonly outbox: string
  readonly channel: string
}

/** Rows of a statement in one row of the outbox. */
const rowsPerEntry = 500

/**
 * The function of the triggers for INSERT, UPDATE and DELETE. PL/pgSQL reads a statement when it comes to it, so those of
 * the other events, whose transition tables are not there, do no harm.
 */
export function changesBody(source: FunctionSource): string {
  const entry = insertInto(source, quoteText(JSON.stringify({ op: 'update', key: nullKey(source) })))
  return `${head(source)}
  IF TG_OP = 'INSERT' THEN
    ${told(source, 'insert', 'inserted')};
  ELSIF TG_OP = 'DELETE' THEN
    ${told(source, 'delete', 'deleted')};
  ELSIF EXISTS (SELECT FROM ${side(source, 'inserted', source.key, undefined, ' LIMIT 1')} r WHERE ${source.key.map((name) => `r.${quoteName(name)} IS NULL`).join(' OR ')}) THEN
    -- A column of the key has been renamed or dropped.
    ${entry};
  ELSE
    ${toldUpdates(source)};
  END IF;
${tail(source)}`
}

/**
 * The function of the trigger for TRUNCATE: all rows are told as deleted. Partitions and children that have a trigger of
 * their own tell of their rows themselves.
 *
 * @param relation - quoted, with its schema
 * @param trigger - its name, the same at all relations of the family
 */
export function truncateBody(source: FunctionSource, relation: string, trigger: string): string {
  const others = `SELECT tgrelid FROM pg_trigger WHERE tgname = ${quoteText(trigger)} AND tgrelid <> TG_RELID`
  return `${head(source)}
  -- Another table may have this name by now.
  IF to_regclass(${quoteText(relation)}) = TG_RELID THEN
    ${told(source, 'delete', `${relation} WHERE tableoid NOT IN (${others})`)};
  ELSE
    ${insertInto(source, quoteText(JSON.stringify({ op: 'delete', key: nullKey(source) })))};
  END IF;
  IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') OR row_security_active(TG_RELID) THEN
    -- It removes rows that were not there for this transaction, or that a policy hides.
    ${insertInto(source, quoteText(JSON.stringify({ op: 'truncate' })))};
  END IF;
${tail(source)}`
}

function head({ path }: FunctionSource): string {
  return `
-- Made by "redstream init" for ${path.replaceAll(/\s/g, ' ')}: changes by hand are undone by it.
#variable_conflict use_column
BEGIN`
}

function tail({ channel }: FunctionSource): string {
  return `  IF FOUND THEN PERFORM ${ring(channel)}; END IF;
  RETURN NULL;
END
`
}

/** Rows that came or went. */
function told(source: FunctionSource, op: 'insert' | 'delete', from: string): string {
  const { key, former } = source
  const before = op === 'delete' ? former : []
  const values = [
    ...key.map((name, index) => `${textOf(source, `r.${quoteName(name)}`, name)} AS k${index}`),
    ...before.map((name, index) => `${textOf(source, `r.${quoteName(name)}`, name)} AS b${index}`),
  ]
  const body = jsonOf(source, quoteText(op), before.length > 0 ? ['k', 'b'] : ['k'])
  return `${insertInto(source, body)}
    FROM (
      SELECT ${[...values, chunk].join(', ')}
      FROM ${side(source, from, [...key, ...before], missingColumn)} r
    ) q GROUP BY q.chunk`
}

/**
 * Rows that are not as they were, in a column that matters. They are paired by their keys, so that rows which swap theirs
 * are told right. What is compared is the stored bytes: it finds what `=` passes over ('Rome' and 'rome' as citext, 1.0
 * and 1.00), and needs no operators, which json has not.
 */
function toldUpdates(source: FunctionSource): string {
  const { key, former, watched, columns } = source
  const read = [...new Set([...key, ...former, ...watched])]
  const [first] = key
  const image = (alias: string): string =>
    `ROW(${read.map((name) => `${alias}.${quoteName(name)}`).join(', ')})::record`
  const sees = !read.some((name) => columns.get(name)?.virtual)
  const values = [
    `CASE WHEN o.${quoteName(first!)} IS NULL THEN 'insert' WHEN n.${quoteName(first!)} IS NULL THEN 'delete' ELSE 'update' END AS op`,
    ...key.map(
      (name, index) =>
        `${textOf(source, `coalesce(n.${quoteName(name)}, o.${quoteName(name)})`, name)} AS k${index}`,
    ),
    ...former.map((name, index) => `${textOf(source, `o.${quoteName(name)}`, name)} AS b${index}`),
    ...former.map((name, index) => `${textOf(source, `n.${quoteName(name)}`, name)} AS a${index}`),
  ]
  const body = jsonOf(source, 'q.op', former.length > 0 ? ['k', 'b', 'a'] : ['k'])
  // A missing column is never as it was, so that every update is told.
  return `${insertInto(source, body)}
    FROM (
      SELECT ${[...values, chunk].join(', ')}
      FROM ${side(source, 'deleted', read, missingColumn)} o
      FULL JOIN ${side(source, 'inserted', read, `${missingColumn}:now`)} n
        ON ${key.map((name) => joined(source, name)).join(' AND ')}
      ${sees ? `WHERE ${image('o')} *<> ${image('n')}` : ''}
    ) q GROUP BY q.op, q.chunk`
}

const chunk = `(row_number() OVER () - 1) / ${rowsPerEntry} AS chunk`

function insertInto({ outbox, path }: FunctionSource, body: string): string {
  return `INSERT INTO ${outbox} (kind, source, body) SELECT 'rows', ${quoteText(path)}, ${body}`
}

const parts = { k: 'key', b: 'before', a: 'after' } as const

function jsonOf(
  { key, former }: FunctionSource,
  op: string,
  letters: readonly (keyof typeof parts)[],
): string {
  const lists = letters.map((letter) => {
    const names = letter === 'k' ? key : former
    const columns = names.map((name, index) => `${quoteText(name)}, json_agg(q.${letter}${index})`)
    return `'${parts[letter]}', json_build_object(${columns.join(', ')})`
  })
  return `json_build_object('op', ${op}, ${lists.join(', ')})::text`
}

/**
 * Columns of a table, or what stands for those that it does not have any more: such a name is then looked up one level
 * further out. So a migration that drops or renames a column never lets the statements of the application fail here. It
 * costs nothing, because the planner takes the outer level away when nothing refers to it.
 *
 * @param missing - what stands for a missing column; undefined: null. Of the key, always null
 */
function side(
  { key }: FunctionSource,
  from: string,
  names: readonly string[],
  missing: string | undefined,
  rest = '',
): string {
  const quoted = names.map(quoteName)
  const nothing = names.map((name) => {
    const value = missing === undefined || key.includes(name) ? 'NULL' : quoteText(missing)
    return `${value}::text AS ${quoteName(name)}`
  })
  return `(SELECT found.* FROM (SELECT ${nothing.join(', ')}) missing, LATERAL (SELECT ${quoted.join(', ')} FROM ${from}${rest}) found)`
}

/** As the key's own type where that says the same: texts take twice as long. */
function joined(source: FunctionSource, name: string): string {
  const { columns } = source
  const sides = [`o.${quoteName(name)}`, `n.${quoteName(name)}`]
  if (columns.get(name)?.equalByText) return sides.join(' = ')
  return sides.map((value) => textOf(source, value, name)).join(' = ')
}

/** A value as the driver is given it. A cast to text may say something else: of char it cuts the end, to inet it adds. */
function textOf({ columns }: FunctionSource, value: string, name: string): string {
  return columns.get(name)?.plainText
    ? `${value}::text`
    : `CASE WHEN ${value} IS NOT NULL THEN format('%s', ${value}) END`
}

function nullKey({ key }: FunctionSource): Record<string, null[]> {
  return Object.fromEntries(key.map((name) => [name, [null]]))
}
