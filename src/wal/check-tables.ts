import type { WatchedTable } from '../capture/watched-table.ts'
import { RedstreamError } from '../errors.ts'
import {
  missingIdentity,
  partProblem,
  publicationInDatabase,
  tablesInDatabase,
  type Publication,
  type TableInDatabase,
} from './catalog.ts'
import type { LogSite } from './site.ts'

/** What the log does not tell of some watched tables. */
export interface TableProblem {
  readonly tables: readonly WatchedTable[]
  /** For people. */
  readonly text: string
}

/** The watched tables as the database has them, and what the log does not tell of them. */
export async function lookAtTables(
  site: LogSite,
): Promise<{ readonly tables: TableInDatabase[]; readonly problems: TableProblem[] }> {
  const { dataSource, names, watched } = site
  const tables = await tablesInDatabase(dataSource, watched)
  const publication = await publicationInDatabase(dataSource, names.publication)
  const missing = watched.filter((table) => !tables.some((one) => one.watched === table))
  const problems = [
    ...missing.map((table) => ({
      tables: [table],
      text: `the table ${table.metadata.tablePath} does not exist`,
    })),
    ...tableProblems(tables, publication, names.publication),
  ]
  return { tables, problems }
}

/**
 * The watched tables as the database has them.
 *
 * @throws RedstreamError DATABASE when the log does not tell what is needed of one of them
 */
export async function checkTables(site: LogSite): Promise<TableInDatabase[]> {
  const { tables, problems } = await lookAtTables(site)
  if (problems.length === 0) return tables
  throw new RedstreamError(
    'DATABASE',
    `${describeProblems(problems)}. Run \`redstream init\`, then \`redstream verify NAME --repair\` for the indices of these tables`,
  )
}

/** Some problems in words. */
export function describeProblems(problems: readonly TableProblem[]): string {
  return `the log does not tell what is needed: ${problems.map(({ text }) => text).join('; ')}`
}

/** What the log does not tell of some tables. */
export function tableProblems(
  tables: readonly TableInDatabase[],
  publication: Publication | undefined,
  name: string,
): TableProblem[] {
  const all = tables.map(({ watched }) => watched)
  if (publication === undefined) return [{ tables: all, text: `there is no publication "${name}"` }]
  const incomplete = publication.isComplete
    ? []
    : [{ tables: all, text: `the publication "${name}" leaves out some kinds of writes or columns` }]
  const problems = tables.flatMap((table) =>
    [...publicationProblems(table, publication, name), ...partProblems(table)].map((text) => ({
      tables: [table.watched],
      text,
    })),
  )
  return [...incomplete, ...problems]
}

function publicationProblems(
  { oid, path }: TableInDatabase,
  { allTables, tables, narrowed }: Publication,
  name: string,
): string[] {
  if (!allTables && !tables.has(oid)) return [`${path} is not in the publication "${name}"`]
  return narrowed.has(oid)
    ? [`${path} is not in the publication "${name}" with all its rows and columns`]
    : []
}

function partProblems({ watched, parts }: TableInDatabase): string[] {
  return parts.flatMap((part) => {
    const problem = partProblem(part)
    if (problem !== undefined) return [`${part.path} ${problem}`]
    const columns = missingIdentity(watched, part)
    if (columns.length === 0) return []
    return [`${part.path} does not tell the former values of ${columns.join(', ')} (REPLICA IDENTITY)`]
  })
}
