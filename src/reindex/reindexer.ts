import { RedstreamError } from '../errors.ts'
import { dropIndex, indicesBehind, isWritable } from '../indexing/copy-index.ts'
import { declareIndex } from '../indexing/index-schema.ts'
import type { DeclaredIndex } from '../indexing/refused-definition.ts'
import { pause } from '../runtime/backoff.ts'
import type { RedisConnections } from '../streams/connection.ts'
import type { IndexSite } from '../sync/site.ts'
import { checkDisk, fingerprintOf, firstState, indexToReplace, type ReindexWishes } from './begin.ts'
import { Conductor, type ConductorOptions } from './conductor.ts'
import { Copier } from './copier.ts'
import { Lease } from './lease.ts'
import { isOver, isSettled, needsDeclaration, nextPhase } from './phases.ts'
import { NoticeBoard } from './notice-board.ts'
import {
  cannotGoBack,
  drivenElsewhere,
  isGranted,
  lostState,
  missedChanges,
  notBegun,
  otherDefinition,
  wishProblem,
  type Wish,
} from './refusals.ts'
import { TableKeys } from './slices.ts'
import { isUnderWay, type ReindexState } from './state.ts'
import { ReindexStore } from './store.ts'

export interface ReindexerOptions extends IndexSite {
  readonly connections: RedisConnections
  /** Queues the rows again that have a dead letter. */
  readonly retryLetters: () => Promise<void>
}

/** How a reindex is to be run by this process. */
export interface RunOptions {
  /** Slices that this process copies at once; 0: it leaves them to others. */
  readonly hands: number
  readonly checkpoint?: ConductorOptions['checkpoint']
}

const lookEveryMs = 250

/** The reindex of one index: begins it, goes on with it, undoes it, tells about it. */
export class Reindexer {
  readonly store: ReindexStore
  readonly board: NoticeBoard
  readonly #options: ReindexerOptions
  #declaration: DeclaredIndex | undefined

  constructor(options: ReindexerOptions) {
    this.#options = options
    const { connections, partitions, logger } = options
    this.store = new ReindexStore(connections.commands, partitions)
    this.board = new NoticeBoard(this.store, connections, logger)
  }

  /**
   * Whether this process may go on with a reindex: not while it fills an index that is declared otherwise here, because
   * the code of this process is older, or newer.
   */
  mayDrive({ phase, definition, again }: ReindexState): boolean {
    return definition === fingerprintOf(this.#declared) || !(needsDeclaration(phase) || again)
  }

  /**
   * Begins a reindex, or goes on with one that nobody drives any more.
   *
   * @param enough - until when it is driven here
   * @returns the last state
   * @throws RedstreamError INDEX when another process drives it, or it cannot begin; ELASTICSEARCH, DATABASE, REDIS
   */
  async start(
    wishes: ReindexWishes,
    options: RunOptions,
    signal: AbortSignal,
    enough: (state: ReindexState) => boolean = (state) => !isUnderWay(state),
  ): Promise<ReindexState> {
    const lease = await this.#lease()
    try {
      let state = await this.#resumable(lease, wishes, options, signal)
      for (;;) {
        state ??= await this.#begin(wishes)
        const last = await this.#drive(lease, options, signal, enough)
        if (signal.aborted) return last ?? state
        if (last === undefined) await this.#forsake(state)
        if (last?.id !== state.id) throw lostState(state)
        if (!isOver(last.phase) || !last.again) return last
        state = await this.#beginAgain(last)
      }
    } finally {
      await lease.release()
    }
  }

  /** Drives what is due as long as it is, if nobody else does; for workers. */
  async drive(options: RunOptions, signal: AbortSignal): Promise<void> {
    const lease = await Lease.take(this.store, this.#options.settings.takeOverAfterMs)
    if (!(lease instanceof Lease)) return
    try {
      const last = await this.#drive(lease, options, signal, () => false)
      if (last !== undefined && isOver(last.phase) && last.again && !signal.aborted)
        await this.#beginAgain(last)
    } finally {
      await lease.release()
    }
  }

  /**
   * Waits for a reindex that others drive; drives it when they die.
   *
   * @returns undefined when there is none
   */
  async wait(options: RunOptions, signal: AbortSignal): Promise<ReindexState | undefined> {
    for (;;) {
      const state = await this.store.read()
      if (state === undefined || !isUnderWay(state) || signal.aborted) return state
      if (this.mayDrive(state)) await this.drive(options, signal)
      await pause(lookEveryMs, signal)
    }
  }

  /**
   * Undoes a reindex that has not swapped the alias yet. Who drives it does it, else this process. Called again, it
   * goes on with what was cut off.
   *
   * @throws RedstreamError INDEX when there is none that can be undone
   */
  async cancel(signal: AbortSignal): Promise<ReindexState | undefined> {
    await this.#tell('cancelled')
    return this.wait({ hands: 0 }, signal)
  }

  /**
   * Swaps the alias back to the index before the last reindex, and removes the newer one. Called again, it goes on with
   * what was cut off.
   *
   * @throws RedstreamError INDEX when the old index is not there any more or has missed changes, or the alias was moved
   *   elsewhere by hand
   */
  async rollBack(signal: AbortSignal, options: RunOptions = { hands: 0 }): Promise<ReindexState> {
    const state = await this.#tell('rolledBack')
    const last = await this.wait(options, signal)
    if (last === undefined) throw lostState(state)
    return last
  }

  /** Copies in this process, until `signal` aborts. */
  copier(state: ReindexState, hands: number): Copier {
    const { settings } = this.#options
    return new Copier({
      ...settings,
      ...this.#options,
      store: this.store,
      state,
      hands,
      lagLimitMs: settings.copyLagMs,
    })
  }

  /** Workers ask for it only when there is something to do. */
  get #declared(): DeclaredIndex {
    const { definition, settings } = this.#options
    return (this.#declaration ??= declareIndex(definition, settings))
  }

  async #lease(): Promise<Lease> {
    const lease = await Lease.takeFromDead(this.store, this.#options.settings.takeOverAfterMs)
    if (lease instanceof Lease) return lease
    throw drivenElsewhere(this.#options.definition.name, lease)
  }

  /** The reindex to go on with; what an earlier one has left to do is done first. */
  async #resumable(
    lease: Lease,
    { rate }: ReindexWishes,
    options: RunOptions,
    signal: AbortSignal,
  ): Promise<ReindexState | undefined> {
    const state = await this.store.read()
    if (state === undefined || isOver(state.phase)) return undefined
    if (isSettled(state.phase)) {
      await this.#hurry(state)
      const last = await this.#drive(lease, options, signal, () => false)
      if (last !== undefined && !isOver(last.phase)) throw notBegun(last)
      return undefined
    }
    if (!this.mayDrive(state)) throw otherDefinition(state)
    const { name: index, to, phase } = state
    this.#options.logger.info({ index, to, phase }, 'going on with a reindex')
    if (rate !== undefined) {
      await this.store.replace(state, { ...state, rate })
      await this.store.forgetReservations()
    }
    return state
  }

  /** The old index of the last reindex need not be kept any longer: there is a newer one to go back to soon. */
  async #hurry(state: ReindexState): Promise<void> {
    const { notBefore: _, ...rest } = state
    const phase = nextPhase(state.phase, 'expired') ?? state.phase
    await this.store.replace(state, { ...rest, phase, keepOldMs: 0 })
  }

  async #begin(wishes: ReindexWishes): Promise<ReindexState> {
    const { client, definition } = this.#options
    const from = await indexToReplace(client, definition)
    await checkDisk(client, from, this.#declared.settings)
    const before = await this.store.read()
    const state = firstState(definition, this.#declared, from, await this.store.now(), wishes)
    if (!(await this.store.replace(before, state))) throw lostState(state)
    return state
  }

  async #beginAgain(last: ReindexState): Promise<ReindexState> {
    const { client, definition, logger } = this.#options
    const from = await indexToReplace(client, definition)
    const first = firstState(definition, this.#declared, from, await this.store.now(), last)
    const state = { ...first, attempt: last.attempt + 1 }
    if (!(await this.store.replace(last, state))) throw lostState(last)
    logger.error({ index: last.name, to: state.to, attempt: state.attempt }, `${last.problem}; copying again`)
    return state
  }

  /** @throws RedstreamError INDEX when the alias cannot go back to the old index, or should not */
  async #checkWayBack(state: ReindexState): Promise<void> {
    const { client } = this.#options
    const behind = await indicesBehind(client, state.name)
    const isThere = await isWritable(client, state.from)
    const isOurs = behind.every((index) => index === state.from || index === state.to)
    if (!isThere || !isOurs) throw cannotGoBack(state, behind)
    if (!(await this.store.isRegistered(state))) throw missedChanges(state)
  }

  /** Redis knows nothing of it any more: nobody would ever remove its index, or write to it. */
  async #forsake({ name, to }: ReindexState): Promise<void> {
    const { client } = this.#options
    if (!(await indicesBehind(client, name)).includes(to)) await dropIndex(client, name, to)
  }

  async #drive(
    lease: Lease,
    { hands, checkpoint }: RunOptions,
    signal: AbortSignal,
    enough: (state: ReindexState) => boolean,
  ): Promise<ReindexState | undefined> {
    const { client, dataSource, definition, logger, retryLetters } = this.#options
    const conductor = new Conductor({
      client,
      definition,
      declared: this.#declared,
      store: this.store,
      tableKeys: new TableKeys(dataSource, definition),
      copier: (state) => (hands === 0 ? undefined : this.copier(state, hands)),
      retryLetters,
      logger,
      checkpoint,
    })
    return conductor.run(lease, signal, enough)
  }

  /** Moves the state by the wish of somebody; whoever drives it finds it there. */
  async #tell(wish: Wish): Promise<ReindexState> {
    for (;;) {
      const state = await this.store.read()
      if (state !== undefined && isGranted(state, wish)) return state
      const problem = wishProblem(this.#options.definition.name, state, wish)
      const phase = state && nextPhase(state.phase, wish)
      if (state === undefined || phase === undefined || problem !== undefined)
        throw new RedstreamError('INDEX', problem ?? 'there is nothing to undo')
      if (wish === 'rolledBack') await this.#checkWayBack(state)
      const { notBefore: _, ...rest } = state
      const reason = wish === 'cancelled' ? 'it was cancelled' : 'it was rolled back'
      if (await this.store.replace(state, { ...rest, phase, problem: reason, again: false })) return state
    }
  }
}
