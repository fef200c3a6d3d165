import { createHash } from 'node:crypto'

import type { WatchedTable } from '../../capture/watched-table.ts'
import type { Relation, TableFacts } from './catalog.ts'
import { quoteName } from './sql.ts'
import { changesBody, truncateBody, type FunctionSource } from './function-body.ts'

export const triggerEvents = ['insert', 'update', 'delete', 'truncate'] as const

export type TriggerEvent = (typeof triggerEvents)[number]

/** A function in the schema of the outbox. */
export interface WantedFunction {
  readonly name: string
  readonly body: string
  /** What is set while it runs, as `pg_proc.proconfig` has it. */
  readonly settings: readonly string[]
  /** Changes with everything that the function is made of. */
  readonly version: string
}

/** What a relation is to have. */
export interface WantedRelation {
  readonly relation: Relation
  /** Functions that are made with its triggers: those that all of its family use with those of the table itself. */
  readonly functions: readonly WantedFunction[]
  readonly triggers: readonly {
    readonly event: TriggerEvent
    readonly name: string
    readonly function: string
  }[]
}

export interface Place {
  /** The outbox, quoted. */
  readonly outbox: string
  readonly channel: string
  readonly captureSchema: string
}

/**
 * The functions and triggers of a watched table, the table itself first; of its partitions and children, because a
 * statement that names one fires no others; and of the tables that it is itself a partition or child of, for the same
 * reason. These tell of their other rows too, whose keys the watched table does not have: harmless.
 */
export function wantedRelations(table: WatchedTable, facts: TableFacts, place: Place): WantedRelation[] {
  const { metadata, former, key, columns: watched } = table
  const { captureSchema } = place
  const path = metadata.tablePath
  const source: FunctionSource = {
    ...place,
    path,
    key: key.map(({ databaseName }) => databaseName),
    former: former.map(({ databaseName }) => databaseName),
    watched: [...watched],
    columns: facts.columns,
  }
  const settings = settingsFor(source)
  const name = (event: TriggerEvent): string => `redstream_${short([captureSchema, path])}_${event}`
  const changes = functionOf(`${plain(metadata.tableName)}_${short([path])}`, changesBody(source), settings)
  const family = facts.family.map((relation, index): WantedRelation => {
    const quoted = `${quoteName(relation.schema)}.${quoteName(relation.name)}`
    const truncate = functionOf(
      `${plain(relation.name)}_${short([path, relation.schema, relation.name])}_truncate`,
      truncateBody(source, quoted, name('truncate')),
      // With `off` a policy would make the statement fail.
      [...settings, 'row_security=on'],
    )
    return {
      relation,
      functions: index === 0 ? [changes, truncate] : [truncate],
      triggers: triggerEvents.map((event) => ({
        event,
        name: name(event),
        function: event === 'truncate' ? truncate.name : changes.name,
      })),
    }
  })
  const ancestors = facts.ancestors.map((relation): WantedRelation => ({
    relation,
    functions: [],
    triggers: ancestorEvents(relation).map((event) => ({
      event,
      name: name(event),
      function: changes.name,
    })),
  }))
  return [...family, ...ancestors]
}

/** A row that is inserted goes to a partition, but never to a child. A TRUNCATE fires the triggers of both. */
function ancestorEvents({ kind }: Relation): readonly TriggerEvent[] {
  return kind === 'p' ? ['insert', 'update', 'delete'] : ['update', 'delete']
}

/** What changes when a body does, but not when it was made from what `init --plan` prints, which is indented. */
export function versionOf(body: string, settings: readonly string[]): string {
  return short([body.replaceAll(/^[ ]+/gm, ''), ...settings])
}

function functionOf(name: string, body: string, settings: readonly string[]): WantedFunction {
  return { name, body, settings, version: versionOf(body, settings) }
}

/** The texts of some types depend on what a session has set; the driver reads those of the defaults. */
function settingsFor({ key, former, columns }: FunctionSource): string[] {
  const path = 'search_path=pg_catalog, pg_temp'
  return [...key, ...former].every((column) => columns.get(column)?.plainText)
    ? [path]
    : [
        path,
        'DateStyle=ISO, YMD',
        'TimeZone=UTC',
        'bytea_output=hex',
        'extra_float_digits=1',
        'IntervalStyle=postgres',
      ]
}

/** Names are for people: what makes them unique is the hash behind it. PostgreSQL cuts names at 63 bytes. */
function plain(name: string): string {
  return name.replaceAll(/\W/g, '').slice(0, 40)
}

function short(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 8)
}
