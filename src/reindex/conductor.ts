import type { Client } from '@elastic/elasticsearch'

import { isRedstreamError } from '../errors.ts'
import type { IndexDefinition } from '../indexed.ts'
import {
  countDocuments,
  createCopyIndex,
  dropIndex,
  indicesBehind,
  isAsHealthy,
  isWritable,
  restoreSettings,
  swapAlias,
} from '../indexing/copy-index.ts'
import type { DeclaredIndex } from '../indexing/refused-definition.ts'
import { Backoff, pause } from '../runtime/backoff.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Copier } from './copier.ts'
import type { Lease } from './lease.ts'
import { isOver, nextPhase, phases, type Phase, type ReindexEvent } from './phases.ts'
import { TableKeys } from './slices.ts'
import { isDue, type ReindexState } from './state.ts'
import type { ReindexStore } from './store.ts'

/** What a phase came to. */
interface Outcome {
  readonly event: ReindexEvent
  readonly changes?: Partial<ReindexState>
}

export interface ConductorOptions {
  readonly client: Client
  readonly definition: IndexDefinition
  readonly declared: DeclaredIndex
  readonly store: ReindexStore
  readonly tableKeys: TableKeys
  /** Who copies in this process; undefined: others do. */
  readonly copier: (state: ReindexState) => Copier | undefined
  /** Queues the rows again that have a dead letter: their documents go to other indices now. */
  readonly retryLetters: () => Promise<void>
  readonly logger: Logger
  /** For tests: called before and after what each phase does. */
  readonly checkpoint?: ((name: `${'before' | 'after'} ${Phase}`) => Promise<void>) | undefined
}

const lookEveryMs = 250
/** A batch that was sent to an index before it left the targets is answered within this time. */
const graceMs = 30_000
/** Looks for a lost list of targets while rows are copied: the copy would be in vain. */
const checkEveryMs = 2_000
const mostAttempts = 5

/**
 * Takes a reindex from phase to phase, as long as it has the lease.
 *
 * What a phase does may be done again: whoever dies in it has a successor that begins it anew. Between two phases the
 * state moves in Redis, if it still is where it was thought to be, so of two conductors one goes on.
 */
export class Conductor {
  readonly #options: ConductorOptions

  constructor(options: ConductorOptions) {
    this.#options = options
  }

  /**
   * Goes on until `enough` says so, nothing is due, the lease is lost, or `signal` aborts; returns the last state.
   * What fails is tried again, or the reindex is undone.
   */
  async run(
    lease: Lease,
    signal: AbortSignal,
    enough: (state: ReindexState) => boolean,
  ): Promise<ReindexState | undefined> {
    const { store, logger, checkpoint } = this.#options
    const backoff = new Backoff()
    const stop = AbortSignal.any([signal, lease.lost])
    for (;;) {
      let state: ReindexState | undefined
      try {
        state = await store.read()
        if (state === undefined || isOver(state.phase) || enough(state)) return state
        if (!isDue(state, await store.now())) return state
        if (!(await lease.holds(stop))) return state
        const { name, phase } = state
        logger.debug({ index: name, phase }, `the reindex ${phases[phase]}`)
        await checkpoint?.(`before ${phase}`)
        const outcome = await this.#work(state, stop)
        if (outcome === undefined) continue
        await checkpoint?.(`after ${phase}`)
        await this.#move(state, outcome)
        backoff.reset()
      } catch (error) {
        if (stop.aborted) return state
        if (isFinal(error) && state !== undefined && (await this.#fail(state, error))) continue
        logger.error({ err: error, phase: state?.phase }, 'a step of the reindex failed; trying again')
        await backoff.pause(stop)
        if (stop.aborted) return state
      }
    }
  }

  async #move(state: ReindexState, { event, changes = {} }: Outcome): Promise<void> {
    const { store, logger } = this.#options
    const phase = nextPhase(state.phase, event)
    if (phase === undefined) throw new Error(`nothing follows "${event}" in the phase "${state.phase}"`)
    const { notBefore: _, ...kept } = state
    const moved = await store.replace(state, { ...kept, ...changes, phase })
    if (moved) logger.info({ index: state.name, to: state.to, phase }, `the reindex ${phases[phase]}`)
  }

  /** Undoes a reindex that cannot be done; false where that is not possible any more. */
  async #fail(state: ReindexState, error: Error): Promise<boolean> {
    // Whether the alias is swapped already is not known here.
    if (state.phase === 'swapping' || nextPhase(state.phase, 'failed') === undefined) return false
    await this.#move(state, { event: 'failed', changes: { problem: error.message } })
    return true
  }

  async #work(state: ReindexState, signal: AbortSignal): Promise<Outcome | undefined> {
    const { client, definition, declared, store, tableKeys, retryLetters } = this.#options
    const { name, from, to } = state
    const finished: Outcome = { event: 'finished' }
    switch (state.phase) {
      case 'creating':
        await createCopyIndex(client, definition, declared, to)
        return finished
      case 'registering':
        await store.register(state)
        return finished
      case 'slicing': {
        const rows = await tableKeys.count()
        const slices = await tableKeys.slices(rows)
        // Counting may take long. Who was paused meanwhile, and has a successor, must not cut what that one copies.
        if (await this.#isElsewhere(state)) return undefined
        await store.publishSlices(state, slices)
        return {
          event: 'finished',
          changes: { rows, slices: slices.length, copyingAt: await store.now() },
        }
      }
      case 'copying':
        return this.#copy(state, signal)
      case 'restoring':
        return this.#restore(state, signal)
      case 'swapping':
        return this.#swap(state)
      case 'confirming': {
        if (!(await store.isRegistered(state))) return lost(state)
        await store.forgetCopy()
        await retryLetters()
        return { event: 'finished', changes: { notBefore: (await store.now()) + state.keepOldMs } }
      }
      case 'keeping':
        return { event: 'expired' }
      case 'retiring': {
        const behind = await indicesBehind(client, name)
        if (behind.includes(from) && !behind.includes(to))
          return { event: 'movedBack', changes: { problem: `somebody has moved the alias back to ${from}` } }
        await store.unregister(state, from)
        // Another copy is to be made, which matters more than a batch that is tried again.
        const wait = state.again ? 0 : Math.min(graceMs, state.keepOldMs)
        return { event: 'finished', changes: { notBefore: (await store.now()) + wait } }
      }
      case 'dropping':
        await dropIndex(client, name, from)
        return finished
      case 'swappingBack':
        await swapAlias(client, name, { from: to, to: from })
        return finished
      case 'removing':
        await store.forgetCopy()
        await store.unregister(state, to)
        await dropIndex(client, name, to)
        await retryLetters()
        return finished
      case 'done':
      case 'undone':
        return undefined
    }
  }

  /** Waits until every slice is copied, and copies some, if this process is to. */
  async #copy(state: ReindexState, signal: AbortSignal): Promise<Outcome | undefined> {
    const { store, client, copier } = this.#options
    const stopping = new AbortController()
    const hands = copier(state)?.run(AbortSignal.any([signal, stopping.signal]))
    try {
      let checked = -Infinity
      while (!signal.aborted) {
        if (performance.now() - checked > checkEveryMs) {
          checked = performance.now()
          if (!(await store.isRegistered(state))) return lost(state)
          if (!(await isWritable(client, state.to)))
            return { event: 'failed', changes: { problem: `somebody has removed the new index ${state.to}` } }
          if (await this.#isElsewhere(state)) return undefined
        }
        if ((await store.slicesDone(state.id)) >= state.slices) return { event: 'finished' }
        await pause(lookEveryMs, signal)
      }
      return undefined
    } finally {
      stopping.abort()
      await hands
    }
  }

  async #swap(state: ReindexState): Promise<Outcome> {
    const { client, store } = this.#options
    const { name, from, to } = state
    // Who died right after the swap has a successor here, for whom it is too late to give the new index up.
    if (!(await indicesBehind(client, name)).includes(to)) {
      if (!(await store.isRegistered(state))) return lost(state)
      try {
        await swapAlias(client, name, { from, to })
      } catch (error) {
        if (isFinal(error)) return { event: 'failed', changes: { problem: error.message } }
        throw error
      }
    }
    return { event: 'finished', changes: { swappedAt: await store.now() } }
  }

  async #restore(state: ReindexState, signal: AbortSignal): Promise<Outcome | undefined> {
    const { client, declared, logger } = this.#options
    const { from, to } = state
    await restoreSettings(client, declared, state)
    while (!(await isAsHealthy(client, to, from, 10))) {
      logger.info({ index: to }, 'waiting for the replicas of the new index')
      if (signal.aborted || (await this.#isElsewhere(state))) return undefined
    }
    return { event: 'finished', changes: { documents: await countDocuments(client, to) } }
  }

  /** Somebody has cancelled it, or moved it on. */
  async #isElsewhere({ id, phase }: ReindexState): Promise<boolean> {
    const now = await this.#options.store.read()
    return now?.id !== id || now.phase !== phase
  }
}

function lost({ attempt }: ReindexState): Outcome {
  return {
    event: 'lost',
    changes: {
      problem: 'Redis lost the list of the indices to write to, so the new index may have missed changes',
      again: attempt < mostAttempts,
    },
  }
}

/** What does not pass by itself: a refused mapping, missing privileges, an index in a wrong state. */
function isFinal(error: unknown): error is Error {
  return isRedstreamError(error) && ['ELASTICSEARCH', 'INDEX', 'ENTITY'].includes(error.code)
}
