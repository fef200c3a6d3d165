import type { QueryRunner } from 'typeorm'

import type { WatchedTable } from '../../capture/watched-table.ts'
import { RedstreamError } from '../../errors.ts'
import { sqlStateOf } from '../../sql-state.ts'
import type { TableFacts } from './catalog.ts'

/** The version with `CREATE OR REPLACE TRIGGER`, as `server_version_num` has it. */
const oldestVersion = 140_000

/** What matters of a server. */
export interface ServerFacts {
  /** As `server_version_num` has it. */
  readonly version: number
  readonly standby: boolean
}

/** @throws RedstreamError CONFIG when the database is not PostgreSQL, or too old; DATABASE when it is a standby */
export async function checkServer(queryRunner: QueryRunner): Promise<void> {
  const { type } = queryRunner.connection.options
  if (type !== 'postgres') {
    throw new RedstreamError(
      'CONFIG',
      `capture "trigger" needs PostgreSQL, and this DataSource is of the type "${type}"; use "subscriber" or "outbox" (setting capture)`,
    )
  }
  const [server] = (await queryRunner.query(
    `SELECT current_setting('server_version_num')::int AS version, pg_is_in_recovery() AS standby`,
  )) as ServerFacts[]
  refuseServer(server!)
}

/** @throws RedstreamError as {@link checkServer} */
export function refuseServer({ version, standby }: ServerFacts): void {
  if (version < oldestVersion) {
    throw new RedstreamError(
      'CONFIG',
      'capture "trigger" needs PostgreSQL 14 or later; use "subscriber" or "outbox" (setting capture)',
    )
  }
  if (standby) {
    throw new RedstreamError(
      'DATABASE',
      'this PostgreSQL is a standby, where no trigger can be made and none runs: let the DataSource of the configuration name the primary',
    )
  }
}

/** @throws RedstreamError ENTITY when the rows of a table cannot be watched by triggers */
export function checkTable(
  { metadata, key, former }: WatchedTable,
  { path, family, ancestors, columns, uniqueKeys }: TableFacts,
): void {
  const refuse = (problem: string): never => {
    throw new RedstreamError(
      'ENTITY',
      `capture "trigger" cannot watch ${path} (${metadata.name}): ${problem}`,
    )
  }
  const [table] = family
  if (table === undefined)
    return refuse('there is no such table; run the migrations of the application first')
  if (table.kind !== 'r' && table.kind !== 'p') {
    refuse(
      `it is ${kinds[table.kind] ?? 'no table'}, which has no rows of its own; index the entity of the table below it, or name it in \`relations\` or \`watch\``,
    )
  }
  const foreign = family.find(({ kind }) => kind === 'f')
  if (foreign !== undefined) {
    refuse(
      `its partition ${foreign.schema}.${foreign.name} is a foreign table, whose rows PostgreSQL does not tell to triggers; use "outbox" or "subscriber" for its index`,
    )
  }
  const names = key.map(({ databaseName }) => databaseName)
  const missing = names.find((name) => !columns.has(name))
  if (missing !== undefined) refuse(`it has no column "${missing}", which is of the entity's key`)
  if (!uniqueKeys.some((unique) => names.every((name) => unique.includes(name)))) {
    refuse(
      `it has neither a primary key nor a unique index on (${names.join(', ')}), the key of the entity; add one`,
    )
  }
  const optional = names.find((name) => !columns.get(name)?.required)
  if (optional !== undefined) {
    refuse(
      `its column "${optional}", which is of the entity's key, may be NULL; ALTER TABLE … ALTER COLUMN … SET NOT NULL`,
    )
  }
  const told = [...names, ...former.map(({ databaseName }) => databaseName)]
  for (const ancestor of ancestors) {
    const own = told.find((name) => columns.has(name) && !ancestor.columns.includes(name))
    if (own === undefined) continue
    refuse(
      `its column "${own}" is not one of ${ancestor.schema}.${ancestor.name}, from which it inherits, so statements that name ` +
        'that table could not tell of its rows; use "wal", "outbox" or "subscriber" for its index',
    )
  }
}

const kinds: Readonly<Record<string, string>> = {
  f: 'a foreign table',
  v: 'a view',
  m: 'a materialized view',
}

/** What went wrong while the triggers of a relation were made or dropped. */
export function stepFailed(object: string, captureSchema: string, error: unknown): RedstreamError {
  const reason = error instanceof Error ? error.message : String(error)
  return new RedstreamError('DATABASE', `${object}: ${cureOf(sqlStateOf(error), reason, captureSchema)}`, {
    cause: error,
  })
}

function cureOf(code: string | undefined, reason: string, captureSchema: string): string {
  if (code === '55P03') {
    return (
      'another transaction has held the table for longer than 3 s, so nothing was done here, rather than to let everybody ' +
      'wait; run it again when no long transaction or vacuum has the table (pg_stat_activity tells). What was done before is kept'
    )
  }
  if (code === '42501') {
    return (
      `${reason}. The role of \`redstream init\` must own the watched tables, and may create in the schema ${captureSchema}, ` +
      'with INSERT on its table outbox; the roles that write need no right there (docs/operations.md, "Triggers")'
    )
  }
  return reason
}
