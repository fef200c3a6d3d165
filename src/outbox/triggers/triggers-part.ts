import type { DataSource, QueryRunner } from 'typeorm'

import type { DatabasePart, DatabaseStep, Removal } from '../../capture/database-objects.ts'
import type { WatchedTable } from '../../capture/watched-table.ts'
import { outboxChannel } from '../outbox-table.ts'
import { readTables } from './catalog.ts'
import { readInstalled } from './installed.ts'
import { checkServer, checkTable, stepFailed } from './refusals.ts'
import { quoteName } from './sql.ts'
import { dropSteps, stepOf } from './steps.ts'
import { wantedRelations, type WantedRelation } from './wanted.ts'

/** How long to wait for a table. Whoever wants it after us waits behind us. */
const lockTimeout = '3s'

/**
 * The triggers that fill the outbox, among the things that `redstream init` makes: after the outbox, and removed before
 * it. The triggers of a table are made in one transaction. What is in place is left alone, so it needs no lock.
 *
 * State: functions in the schema of the outbox, each with a comment that says which version it is, and triggers of these
 * functions on the watched tables, their partitions and their children.
 */
export class TriggersPart implements DatabasePart {
  readonly #dataSource: DataSource
  readonly #captureSchema: string
  readonly #tables: readonly WatchedTable[]

  /** @param tables - those whose changes the triggers are to tell */
  constructor(dataSource: DataSource, captureSchema: string, tables: readonly WatchedTable[]) {
    this.#dataSource = dataSource
    this.#captureSchema = captureSchema
    this.#tables = tables
  }

  /**
   * What `apply` would do.
   *
   * @throws RedstreamError CONFIG when the server cannot do it, DATABASE when it is a standby, ENTITY when a table cannot
   * be watched
   */
  plan(): Promise<DatabaseStep[]> {
    return this.#onRunner((queryRunner) => this.#plan(queryRunner))
  }

  /** @throws RedstreamError as {@link plan}; DATABASE when a right is missing or a table is held by others */
  apply(): Promise<DatabaseStep[]> {
    return this.#onRunner(async (queryRunner) => {
      const steps = await this.#plan(queryRunner)
      for (const step of steps) await this.#carryOut(queryRunner, step)
      return steps
    })
  }

  /**
   * What is wrong with the triggers at this moment, for people: some are missing, disabled, altered, or made for another
   * declaration; or what keeps that from being known. Needs no rights but to read the catalog.
   */
  async problems(): Promise<string[]> {
    try {
      return problemsIn(await this.plan())
    } catch (error) {
      return [error instanceof Error ? error.message : String(error)]
    }
  }

  planRemoval(what: Removal): Promise<DatabaseStep[]> {
    return this.#onRunner((queryRunner) => this.#planRemoval(queryRunner, what))
  }

  /** @throws RedstreamError DATABASE when a right is missing or a table is held by others */
  remove(what: Removal): Promise<DatabaseStep[]> {
    return this.#onRunner(async (queryRunner) => {
      const steps = await this.#planRemoval(queryRunner, what)
      for (const step of steps) await this.#carryOut(queryRunner, step)
      return steps
    })
  }

  async #plan(queryRunner: QueryRunner): Promise<DatabaseStep[]> {
    if (this.#tables.length === 0) return []
    await checkServer(queryRunner)
    const captureSchema = this.#captureSchema
    const installed = await readInstalled(queryRunner, captureSchema)
    return (await this.#wanted(queryRunner)).flatMap(({ relations, missing }) =>
      relations.map((relation, index) => {
        const step = stepOf(relation, installed, captureSchema)
        return index === 0 && missing !== undefined ? because(step, missing) : step
      }),
    )
  }

  /** Of each table what it and its partitions and children should have. */
  async #wanted(
    queryRunner: QueryRunner,
  ): Promise<{ relations: WantedRelation[]; missing: string | undefined }[]> {
    const captureSchema = this.#captureSchema
    const outbox = `${quoteName(captureSchema)}.outbox`
    const place = { outbox, channel: outboxChannel(captureSchema), captureSchema }
    const paths = this.#tables.map(({ metadata }) => metadata.tablePath)
    const facts = await readTables(queryRunner, paths)
    return this.#tables.map((table, index) => {
      const ofTable = facts[index]!
      checkTable(table, ofTable)
      return {
        relations: wantedRelations(table, ofTable, place),
        missing: missingColumns(table, ofTable.columns),
      }
    })
  }

  async #planRemoval(queryRunner: QueryRunner, what: Removal): Promise<DatabaseStep[]> {
    if (this.#dataSource.options.type !== 'postgres') return []
    const installed = await readInstalled(queryRunner, this.#captureSchema)
    const kept = what === 'everything' || this.#tables.length === 0 ? [] : await this.#wanted(queryRunner)
    return dropSteps(
      kept.flatMap(({ relations }) => relations),
      installed,
      this.#captureSchema,
    )
  }

  /**
   * Sends everything at once, which PostgreSQL makes one transaction of: it ends by itself, and gives the table back, also
   * when this process is stopped, or cut off, in the middle.
   */
  async #carryOut(queryRunner: QueryRunner, { object, action, sql }: DatabaseStep): Promise<void> {
    if (action === 'nothing') return
    try {
      await queryRunner.query(`SET LOCAL lock_timeout = '${lockTimeout}';\n${sql}`)
    } catch (error) {
      throw stepFailed(object, this.#captureSchema, error)
    }
  }

  async #onRunner<T>(action: (queryRunner: QueryRunner) => Promise<T>): Promise<T> {
    const queryRunner = this.#dataSource.createQueryRunner('master')
    try {
      return await action(queryRunner)
    } finally {
      await queryRunner.release()
    }
  }
}

/** Why rows are told more often than they need be, or less exactly. */
function missingColumns({ columns }: WatchedTable, found: ReadonlyMap<string, unknown>): string | undefined {
  const missing = [...columns].filter((name) => !found.has(name))
  if (missing.length === 0) return undefined
  return (
    `the table has no column ${missing.map((name) => `"${name}"`).join(', ')}, as its entity says: until the entity fits ` +
    'the table, every update is told; run this again after that, and then `redstream verify NAME --repair`'
  )
}

function because(step: DatabaseStep, reason: string): DatabaseStep {
  return { ...step, reason: step.reason === undefined ? reason : `${step.reason}; ${reason}` }
}

/** What steps say that is wrong, as long as nobody carries them out. */
function problemsIn(steps: readonly DatabaseStep[]): string[] {
  return steps.flatMap(({ object, action, reason }) => {
    if (action === 'nothing') return reason === undefined ? [] : [`${object}: ${reason}`]
    const what = action === 'create' ? 'they are missing' : (reason ?? 'they are not as they should be')
    return [
      `${object}: ${what}; changes are missed until \`redstream init\` is run, and then \`redstream verify NAME --repair\``,
    ]
  })
}
