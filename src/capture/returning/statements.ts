import type { DataSource, EntityMetadata, QueryRunner } from 'typeorm'

import type { Column, RowChange, WriteKind } from '../changes.ts'
import type { Removals } from '../removals.ts'
import { callSite, type CallSite } from '../uncaptured.ts'
import { addTo, hookBuilders } from './builder-hooks.ts'
import {
  columnsSet,
  columnsUpdated,
  keysMatching,
  targetOf,
  type Builder,
  type Target,
  type WriteResult,
} from './builder.ts'
import { keysNamed } from './criteria.ts'
import { isPooled, joinsOldRows, returnsRows } from './databases.ts'
import { keysInValues, withoutKeys } from './event-keys.ts'
import { insertedKeys } from './inserted.ts'
import { joinOldRows, planBeside, planReturning, returningList, type ReturningPlan } from './plan.ts'
import { keysSayAll, readChanges } from './read-first.ts'
import { takeChanges } from './result.ts'
import { columnsReplaced, rowsUpserted } from './upserted.ts'

/** Where the changes of statements go, and what it wants of them: the subscriber. */
export interface StatementSink {
  /** The foreign keys that are wanted with each changed row of a table; undefined when nobody follows the table. */
  interest(metadata: EntityMetadata): readonly Column[] | undefined
  /** Before a statement outside a transaction: the last moment at which it can be refused. */
  beforeAutocommit(): Promise<void>
  /** Rows that a statement in a transaction may be about to change. */
  announced(queryRunner: QueryRunner, changes: readonly RowChange[]): void
  /** Rows that a statement has changed: inside a transaction, or outside and committed already. */
  recorded(queryRunner: QueryRunner, changes: readonly RowChange[]): Promise<void>
  /** Before a statement of which nobody will know which rows it changes. */
  refuseUncaptured(kind: WriteKind, metadata: EntityMetadata): void
  /** After it. */
  reportUncaptured(kind: WriteKind, metadata: EntityMetadata, site: CallSite): void
}

/** Runs a statement on a query runner and hands over what it changes. */
type Run = (queryRunner: QueryRunner) => Promise<WriteResult>

/**
 * Learns which rows the statements of TypeORM's query builders change: from what they return, or from the keys that
 * their criteria name. Every write of TypeORM but raw SQL ends in such a builder, those of `save` and `remove` too.
 *
 * No state beside the wrappers and plans: a statement is in memory while it runs.
 */
export class Statements {
  readonly #dataSource: DataSource
  readonly #sink: StatementSink
  readonly #removals: Pick<Removals, 'takesAlong' | 'before'>
  readonly #wrap: boolean
  readonly #unhook: () => void
  readonly #insertPlans = new Map<EntityMetadata, ReturningPlan>()
  /** The last ones, of {@link #insertPlans}. */
  readonly #plansBeside = new Map<ReturningPlan, { readonly asked: string; readonly plan: ReturningPlan }>()

  /** @param wrap - whether a statement outside a transaction gets one of its own, so that a crash loses nothing */
  constructor(
    dataSource: DataSource,
    sink: StatementSink,
    removals: Pick<Removals, 'takesAlong' | 'before'>,
    wrap: boolean,
  ) {
    this.#dataSource = dataSource
    this.#sink = sink
    this.#removals = removals
    this.#wrap = wrap
    this.#unhook = hookBuilders(dataSource, (builder, execute) => this.#execute(builder, execute))
  }

  /** Takes the wrappers off TypeORM's builders. */
  close(): void {
    this.#unhook()
  }

  /** Whether a statement of this kind is accounted for here, so that its event need not name the row. */
  accountsFor(kind: WriteKind): boolean {
    // Where an insert returns nothing, only its event knows the keys.
    return kind !== 'insert' || returnsRows(this.#dataSource, 'insert')
  }

  async #execute(builder: Builder, execute: () => Promise<WriteResult>): Promise<WriteResult> {
    const target = targetOf(builder)
    if (target === undefined) return execute()
    const wanted = this.#sink.interest(target.metadata)
    const takesAlong = target.kind === 'delete' && this.#removals.takesAlong(target.metadata)
    if (wanted === undefined) {
      return takesAlong ? this.#where(builder, this.#takingAlong(builder, target, execute)) : execute()
    }
    const run = returnsRows(this.#dataSource, target.kind)
      ? this.#returning(builder, target, wanted, execute)
      : this.#named(builder, target, wanted, execute)
    if (takesAlong) return this.#where(builder, this.#takingAlong(builder, target, run))
    const replaced = target.kind === 'insert' ? columnsReplaced(builder, wanted) : []
    return this.#where(builder, replaced.length > 0 ? this.#replacing(builder, target, replaced, run) : run)
  }

  /** An upsert that may give rows other foreign keys: what they were is told by no database. */
  #replacing(builder: Builder, { metadata }: Target, replaced: readonly Column[], run: Run): Run {
    const site = callSite()
    return async (queryRunner) => {
      const { changes, complete } = await rowsUpserted(builder, queryRunner, metadata, replaced)
      if (!complete) this.#sink.refuseUncaptured('insert', metadata)
      const result = await run(queryRunner)
      if (changes.length > 0) await this.#sink.recorded(queryRunner, changes)
      if (!complete) this.#sink.reportUncaptured('insert', metadata, site)
      return result
    }
  }

  /** A DELETE with which rows of other tables go or change: they must be found before it. */
  #takingAlong(builder: Builder, { metadata }: Target, run: Run): Run {
    return async (queryRunner) => {
      const { wheres, parameters } = builder.expressionMap
      const keys =
        keysNamed(metadata, wheres, parameters) ?? (await keysMatching(builder, queryRunner, metadata))
      const done = await this.#removals.before(queryRunner, metadata, keys)
      const result = await run(queryRunner)
      await done()
      return result
    }
  }

  /** Runs a statement in the transaction that is open, in one of its own, or outside. */
  async #where(builder: Builder, run: Run): Promise<WriteResult> {
    const given = builder.queryRunner
    if (given?.isTransactionActive) return run(given)
    // With `useTransaction`, TypeORM would commit before it says which rows were written.
    const wrap = this.#wrap && given === undefined && isPooled(this.#dataSource)
    if (wrap || builder.expressionMap.useTransaction) {
      const manager = given?.manager ?? this.#dataSource.manager
      return manager.transaction((inside) => onRunner(builder, inside.queryRunner!, run))
    }
    await this.#sink.beforeAutocommit()
    const queryRunner = given ?? this.#dataSource.createQueryRunner()
    try {
      return await onRunner(builder, queryRunner, run)
    } finally {
      if (given === undefined) await queryRunner.release()
    }
  }

  /** A statement that returns the rows which it changes. */
  #returning(
    builder: Builder,
    target: Target,
    wanted: readonly Column[],
    execute: () => Promise<WriteResult>,
  ): Run {
    const { metadata, kind } = target
    const planned = this.#planOf(builder, target, wanted)
    return async (queryRunner) => {
      let asked = ''
      let plan = planned
      const done = addTo(builder, {
        returning: (list) => {
          asked = list
          plan = this.#planBeside(planned, list, builder)
          return returningList(plan, list, (name) => builder.escape(name))
        },
        where: (where) => {
          if (!planned.joinsOldRows) return where
          const table = builder.getTableName(metadata.tablePath)
          return joinOldRows(planned, where, table, (name) => builder.escape(name))
        },
      })
      if (kind !== 'insert') this.#announce(builder, queryRunner, target, planned.updated)
      const result = await execute().finally(done)
      const { changes, complete } = takeChanges(plan, result, asked)
      if (!complete) this.#sink.reportUncaptured(kind, metadata, callSite())
      await this.#recorded(builder, queryRunner, changes)
      return result
    }
  }

  /** What an INSERT returns depends on its table only, and `save` makes one for each row: it is planned once. */
  #planOf(builder: Builder, { metadata, kind }: Target, wanted: readonly Column[]): ReturningPlan {
    const known = kind === 'insert' ? this.#insertPlans.get(metadata) : undefined
    if (known !== undefined) return known
    const set = kind === 'update' ? columnsSet(builder, metadata) : new Set<Column>()
    const plan = planReturning(kind, metadata, wanted, set, joinsOldRows(this.#dataSource))
    if (kind === 'insert') this.#insertPlans.set(metadata, plan)
    return plan
  }

  /** What an INSERT is asked for anyway is the same each time, as a rule. */
  #planBeside(planned: ReturningPlan, asked: string, builder: Builder): ReturningPlan {
    const known = this.#plansBeside.get(planned)
    if (known?.asked === asked) return known.plan
    const plan = planBeside(planned, asked, (name) => builder.escape(name))
    if (planned.kind === 'insert') this.#plansBeside.set(planned, { asked, plan })
    return plan
  }

  /** Rows that the criteria of a statement name need not be waited for. */
  #announce(
    { expressionMap: { wheres, parameters } }: Builder,
    queryRunner: QueryRunner,
    { metadata, kind }: Target,
    updated: readonly Column[] | undefined,
  ): void {
    if (!queryRunner.isTransactionActive) return
    try {
      const keys = keysNamed(metadata, wheres, parameters) ?? []
      const changes = keys.map((key): RowChange => ({ metadata, kind, key, set: updated }))
      this.#sink.announced(queryRunner, changes)
    } catch {
      // Criteria may hold what is no key as rows have it. Which rows are changed is told by the statement in any case.
    }
  }

  /** A statement that returns nothing: its criteria name the rows, or they are read before it. */
  #named(
    builder: Builder,
    target: Target,
    wanted: readonly Column[],
    execute: () => Promise<WriteResult>,
  ): Run {
    const { metadata, kind } = target
    const { wheres, parameters, insertFromSelect } = builder.expressionMap
    if (kind === 'insert' && insertFromSelect === undefined) return this.#inserted(builder, metadata, execute)
    const set = kind === 'update' ? columnsSet(builder, metadata) : new Set<Column>()
    const updated = kind === 'update' ? columnsUpdated(set, metadata) : undefined
    const named = kind === 'insert' ? undefined : keysNamed(metadata, wheres, parameters)
    const keys = named !== undefined && keysSayAll(target, wanted, set) ? named : undefined
    const site = keys === undefined ? callSite() : undefined
    return async (queryRunner) => {
      // Outside a transaction, others may make rows match after they were read.
      const readable = named !== undefined || (kind !== 'insert' && queryRunner.isTransactionActive)
      if (!readable) this.#sink.refuseUncaptured(kind, metadata)
      const read =
        readable && keys === undefined
          ? await readChanges(builder, queryRunner, target, wanted, set)
          : undefined
      if (kind !== 'insert') this.#announce(builder, queryRunner, target, updated)
      const result = await execute()
      if (result.affected === 0) return result
      const changes = read?.changes ?? keys?.map((key): RowChange => ({ metadata, kind, key })) ?? []
      await this.#recorded(
        builder,
        queryRunner,
        changes.map((change) => ({ ...change, set: updated })),
      )
      if (!readable || read?.complete === false) this.#sink.reportUncaptured(kind, metadata, site)
      return result
    }
  }

  /** An INSERT that returns nothing to us: its events tell of the rows, unless TypeORM can only guess their keys. */
  #inserted(builder: Builder, metadata: EntityMetadata, execute: () => Promise<WriteResult>): Run {
    const { named, complete } = insertedKeys(builder, metadata)
    if (!complete) this.#sink.refuseUncaptured('insert', metadata)
    const site = complete ? undefined : callSite()
    return async (queryRunner) => {
      const result = await execute()
      const changes = named.map((key): RowChange => ({ metadata, kind: 'insert', key }))
      await this.#recorded(builder, queryRunner, changes)
      if (!complete) this.#sink.reportUncaptured('insert', metadata, site)
      return result
    }
  }

  async #recorded(builder: Builder, queryRunner: QueryRunner, changes: readonly RowChange[]): Promise<void> {
    // Outside a transaction, an event that named its row has published it already.
    const told = queryRunner.isTransactionActive ? new Set<string>() : keysInValues(builder)
    const untold = withoutKeys(changes, told)
    if (untold.length > 0) await this.#sink.recorded(queryRunner, untold)
  }
}

async function onRunner(builder: Builder, queryRunner: QueryRunner, run: Run): Promise<WriteResult> {
  const given = builder.queryRunner
  builder.queryRunner = queryRunner
  try {
    return await run(queryRunner)
  } finally {
    builder.queryRunner = given
  }
}
