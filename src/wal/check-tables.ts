import { RedstreamError } from '../errors.ts'
import {
  missingIdentity,
  publicationInDatabase,
  tablesInDatabase,
  type Publication,
  type TableInDatabase,
} from './catalog.ts'
import type { LogSite } from './site.ts'

/**
 * The watched tables as the database has them.
 *
 * @throws RedstreamError DATABASE when the log does not tell what is needed of one of them
 */
export async function checkTables(site: LogSite): Promise<TableInDatabase[]> {
  const { dataSource, names, watched } = site
  const tables = await tablesInDatabase(dataSource, watched)
  const publication = await publicationInDatabase(dataSource, names.publication)
  const missing = watched.filter((table) => !tables.some((one) => one.watched === table))
  const problems = [
    ...missing.map(({ metadata }) => `the table ${metadata.tablePath} does not exist`),
    ...tableProblems(tables, publication, names.publication),
  ]
  if (problems.length === 0) return tables
  throw new RedstreamError(
    'DATABASE',
    `the log does not tell what is needed: ${problems.join('; ')}. Run \`redstream init\`, then ` +
      '`redstream verify NAME --repair` for the indices of these tables',
  )
}

/** What the log does not tell of some tables. */
export function tableProblems(
  tables: readonly TableInDatabase[],
  publication: Publication | undefined,
  name: string,
): string[] {
  if (publication === undefined) return [`there is no publication "${name}"`]
  const incomplete = publication.isComplete
    ? []
    : [`the publication "${name}" leaves out some kinds of writes`]
  const problems = tables.flatMap(({ watched, oid, path, parts }) => [
    ...(publication.allTables || publication.tables.has(oid)
      ? []
      : [`${path} is not in the publication "${name}"`]),
    ...parts.flatMap((part) => {
      const columns = missingIdentity(watched, part)
      return columns.length === 0
        ? []
        : [`${part.path} does not tell the former values of ${columns.join(', ')} (REPLICA IDENTITY)`]
    }),
  ])
  return [...incomplete, ...problems]
}
