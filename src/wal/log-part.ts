import type { DatabasePart, DatabaseStep, Removal } from '../capture/database-objects.ts'
import { RedstreamError } from '../errors.ts'
import {
  missingIdentity,
  partProblem,
  publicationInDatabase,
  tablesInDatabase,
  wholeRowProblem,
  type Publication,
  type TableInDatabase,
} from './catalog.ts'
import type { LogNames } from './names.ts'
import { describeLogError, type ServerFacts } from './refusals.ts'
import type { LogSite } from './site.ts'
import { checkServer, createSlotSql, dropSlot, dropSlotSql, lookAtSlot } from './slot.ts'
import { SlotKeeper } from './slot-keeper.ts'

/** An ALTER TABLE waits for so long for other transactions, and everybody else would wait behind it. */
const lockTimeout = '10s'

/** What the mode `wal` needs in the database: what the tables tell of former values, a publication of them, and a slot. */
export class LogPart implements DatabasePart {
  readonly #site: LogSite

  constructor(site: LogSite) {
    this.#site = site
  }

  /**
   * What {@link apply} would do.
   *
   * @throws RedstreamError DATABASE when the server's log cannot be followed, or a table has no key, with the cure
   */
  async plan(): Promise<DatabaseStep[]> {
    const { dataSource, names, watched } = this.#site
    const facts = await checkServer(dataSource)
    const tables = await tablesInDatabase(dataSource, watched)
    const missing = watched.filter((table) => !tables.some((one) => one.watched === table))
    if (missing.length > 0)
      throw new RedstreamError(
        'DATABASE',
        `capture "wal": ${missing.map(({ metadata }) => metadata.tablePath).join(', ')} must exist first: run your migrations`,
      )
    const [publication, { slot }] = await Promise.all([
      publicationInDatabase(dataSource, names.publication),
      lookAtSlot(dataSource, names.slot),
    ])
    return [
      ...tables.flatMap(identitySteps),
      ...publicationSteps(names.publication, publication, tables, facts),
      slotStep(names.slot, slot !== undefined, facts),
    ]
  }

  async apply(): Promise<DatabaseStep[]> {
    const steps = await this.plan()
    const keeper = new SlotKeeper(this.#site)
    // What a slot could not tell until now is missed, and nothing shows it any more when the steps are done.
    await keeper.look()
    for (const step of steps) {
      if (step.sql === '' || step.object === slotObject(this.#site.names)) continue
      await this.#run(step)
    }
    // It notes what was missed, when there has been one before.
    await keeper.provide('nothing missed')
    return steps
  }

  async planRemoval(what: Removal): Promise<DatabaseStep[]> {
    const { dataSource, names, watched } = this.#site
    const [publication, { slot }, tables] = await Promise.all([
      publicationInDatabase(dataSource, names.publication),
      lookAtSlot(dataSource, names.slot),
      tablesInDatabase(dataSource, watched),
    ])
    const { publication: name } = names
    if (what === 'unused') return publication === undefined ? [] : withdrawalSteps(name, publication, tables)
    const steps: DatabaseStep[] = []
    if (slot !== undefined)
      steps.push({ object: slotObject(names), action: 'drop', sql: dropSlotSql(names.slot) })
    if (publication === undefined) return steps
    steps.push({ object: `publication ${name}`, action: 'drop', sql: `DROP PUBLICATION "${name}"` })
    // Without a publication it was not Redstream that asked for whole rows.
    return [...steps, ...tables.flatMap(formerIdentitySteps)]
  }

  async remove(what: Removal): Promise<DatabaseStep[]> {
    const { dataSource, names, notes } = this.#site
    const steps = await this.planRemoval(what)
    for (const step of steps) {
      if (step.object === slotObject(names)) await dropSlot(dataSource, names.slot)
      else await this.#run(step)
    }
    // Nothing is noted of a log that was never followed, and Redis need not be there for it.
    if (what === 'everything' && steps.length > 0) await notes.forget()
    return steps
  }

  async #run({ object, sql }: DatabaseStep): Promise<void> {
    try {
      await this.#site.dataSource.transaction(async (manager) => {
        await manager.query(`SET LOCAL lock_timeout = '${lockTimeout}'`)
        await manager.query(sql)
      })
    } catch (error) {
      throw describeLogError(error, 'publication', `the ${object} cannot be changed`)
    }
  }
}

function slotObject({ slot }: LogNames): string {
  return `replication slot ${slot}`
}

/** What a table must tell of a row as it was: its key, and foreign keys whose former values are needed. */
function identitySteps({ watched, parts }: TableInDatabase): DatabaseStep[] {
  return parts.flatMap((part) => {
    const missing = missingIdentity(watched, part)
    const key = watched.key.map(({ databaseName }) => databaseName)
    const suffices = watched.former.length === 0 && key.every((name) => part.primaryKey.includes(name))
    const identity = suffices ? 'DEFAULT' : 'FULL'
    const problem = partProblem(part) ?? (missing.length > 0 && !suffices ? wholeRowProblem(part) : undefined)
    if (problem !== undefined) throw new RedstreamError('DATABASE', `capture "wal": ${part.path} ${problem}`)
    if (missing.length === 0) return []
    return [
      {
        object: `replica identity of ${part.path}`,
        action: 'replace',
        reason: `the former values of ${missing.join(', ')} lead to documents`,
        sql: `ALTER TABLE ${part.path} REPLICA IDENTITY ${identity}`,
      },
    ]
  })
}

/** What was done for the former values is undone. */
function formerIdentitySteps({ watched, parts }: TableInDatabase): DatabaseStep[] {
  if (watched.former.length === 0) return []
  return parts
    .filter(({ identity, primaryKey }) => identity === 'f' && primaryKey.length > 0)
    .map(({ path }) => ({
      object: `replica identity of ${path}`,
      action: 'replace',
      reason: 'the log need not tell whole rows any more',
      sql: `ALTER TABLE ${path} REPLICA IDENTITY DEFAULT`,
    }))
}

function publicationSteps(
  name: string,
  publication: Publication | undefined,
  tables: readonly TableInDatabase[],
  facts: ServerFacts,
): DatabaseStep[] {
  const object = `publication ${name}`
  const ways = publicationWays(facts)
  const list = (paths: readonly string[]): string => paths.join(', ')
  if (publication === undefined) {
    const paths = list(tables.map(({ path }) => path))
    return [
      {
        object,
        action: 'create',
        sql: `CREATE PUBLICATION "${name}" FOR TABLE ${paths} WITH (${ways})`,
      },
    ]
  }
  const steps: DatabaseStep[] = []
  const replace = (reason: string, sql: string): void =>
    void steps.push({ object, action: 'replace', reason, sql: `ALTER PUBLICATION "${name}" ${sql}` })
  if (!publication.isComplete)
    replace(
      'it leaves out some kinds of writes',
      `SET (publish = 'insert, update, delete, truncate', ${ways})`,
    )
  if (!publication.allTables) {
    const { tables: published, narrowed } = publication
    const partly = tables.filter(({ oid }) => narrowed.has(oid)).map(({ path }) => path)
    if (partly.length > 0)
      replace(`it tells only some rows or columns of ${list(partly)}`, `DROP TABLE ${list(partly)}`)
    const added = tables.filter(({ oid }) => !published.has(oid) || narrowed.has(oid)).map(({ path }) => path)
    if (added.length > 0) replace(`it lacks ${list(added)}`, `ADD TABLE ${list(added)}`)
  }
  return steps.length === 0 ? [{ object, action: 'nothing', sql: '' }] : steps
}

/**
 * How a publication tells of tables. From PostgreSQL 18 on it refuses updates of a table with REPLICA IDENTITY FULL whose
 * generated columns it does not tell: https://www.postgresql.org/docs/18/logical-replication-gencols.html
 */
export function publicationWays({ version }: Pick<ServerFacts, 'version'>): string {
  const viaRoot = 'publish_via_partition_root = true'
  return version >= 180_000 ? `${viaRoot}, publish_generated_columns = stored` : viaRoot
}

/** Tables that no index with capture "wal" depends on any more. */
function withdrawalSteps(
  name: string,
  { allTables, tables: published, paths }: Publication,
  tables: readonly TableInDatabase[],
): DatabaseStep[] {
  const wanted = new Set(tables.map(({ oid }) => oid))
  const gone = [...published].flatMap((oid, place) => (wanted.has(oid) ? [] : [paths[place]!])).join(', ')
  if (allTables || gone === '') return []
  const sql = `ALTER PUBLICATION "${name}" DROP TABLE ${gone}`
  return [{ object: `publication ${name}`, action: 'replace', reason: `nothing depends on ${gone}`, sql }]
}

function slotStep(name: string, exists: boolean, facts: ServerFacts): DatabaseStep {
  const object = `replication slot ${name}`
  if (exists) return { object, action: 'nothing', sql: '' }
  return { object, action: 'create', sql: createSlotSql(name, facts) }
}
