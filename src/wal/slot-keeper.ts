import type { WatchedTable } from '../capture/watched-table.ts'
import { RedstreamError } from '../errors.ts'
import { ReindexStore } from '../reindex/store.ts'
import { describeProblems, lookAtTables } from './check-tables.ts'
import { formatLsn } from './lsn.ts'
import type { Notes, VerifyDue } from './log-notes.ts'
import { describeReader } from './refusals.ts'
import type { LogSite } from './site.ts'
import { checkServer, createSlot, dropSlot, lookAtSlot, type Slot, type SlotLook } from './slot.ts'
import { judgeSlot, nextMark } from './slot-verdict.ts'

/**
 * Looks after the replication slot: how much log the server keeps for it, and what becomes of the indices when it is lost,
 * or when it does not tell everything any more.
 *
 * Owns no state: what must be remembered is in Redis (`LogNotes`). Any number of keepers may look at the same time, and
 * none of them needs to read the log. The database comes first: at the limit the slot is dropped also when Redis cannot
 * be told; then it is missing, and whoever finds that tells it.
 */
export class SlotKeeper {
  readonly #site: LogSite
  #warned = false
  /** What the log did not tell at the last look. */
  #untold = ''

  constructor(site: LogSite) {
    this.#site = site
  }

  /**
   * Looks at the slot once, and gives it up where it must be.
   *
   * @returns the slot, undefined when there is none (any more)
   * @throws RedstreamError DATABASE when the slot is somebody else's
   */
  async look(): Promise<Slot | undefined> {
    const { dataSource, names, notes, database, settings, logger } = this.#site
    const look = await lookAtSlot(dataSource, names.slot)
    const { slot } = look
    const known = await notes.read().catch((error: unknown) => {
      logger.warn(
        { err: error, slot: names.slot },
        'Redis does not say what is known of the replication slot',
      )
      return undefined
    })
    const limits = { name: names.slot, database, walMaxLag: settings.walMaxLag }
    const verdict = judgeSlot(look, known?.slot, limits)
    switch (verdict.kind) {
      case 'foreign':
        throw new RedstreamError('DATABASE', `${verdict.reason}; choose another captureSchema`)
      case 'missing':
        return undefined
      case 'given up':
        await this.#giveUp(verdict.reason)
        return undefined
      case 'well':
        this.#warn(slot!)
        if (known !== undefined) await this.#note(look, slot!, known)
        return slot
    }
  }

  /**
   * The slot to read from, made when there is none. Unless `redstream init` makes the first one, nobody knows what was
   * written before it: then the indices are to be verified.
   *
   * @param first - whether a slot that Redis has never heard of means that nothing was missed
   * @param signal - ends the wait for a slot that is being made
   * @throws RedstreamError DATABASE with the cure
   */
  async provide(first: 'nothing missed' | 'verify' = 'verify', signal?: AbortSignal): Promise<Slot> {
    const { dataSource, names, notes, indexes, logger } = this.#site
    const facts = await checkServer(dataSource)
    const found = await this.look()
    if (found !== undefined) return found
    const { slot: known, verify } = await notes.read()
    if (known !== undefined || first === 'verify') {
      const reason =
        known === undefined ? 'nobody has read its changes before' : 'the replication slot was gone'
      await notes.demand(
        indexes.map(({ index }) => index.name),
        reason,
      )
    }
    logger.info(
      { slot: names.slot },
      'makes the replication slot: it is there when the transactions that are open now have ended (pg_stat_activity)',
    )
    await createSlot(dataSource, names.slot, facts, signal)
    const made = await this.look()
    if (made === undefined) throw new Error(`the replication slot "${names.slot}" is gone again`)
    const due = [...verify.keys(), ...indexes.map(({ index }) => index.name)]
    if (known !== undefined || first === 'verify')
      logger.error(
        { slot: names.slot, indexes: [...new Set(due)] },
        'made a replication slot: what was written before is missing until `redstream verify NAME --repair` is done for each index',
      )
    return made
  }

  /** Drops the slot and tells Redis that the indices are to be verified. */
  async #giveUp(reason: string): Promise<void> {
    const { dataSource, names, notes, indexes, logger } = this.#site
    await notes
      .demand(
        indexes.map(({ index }) => index.name),
        reason,
      )
      .catch((error: unknown) =>
        logger.error({ err: error }, 'Redis could not be told that the replication slot is given up'),
      )
    await dropSlot(dataSource, names.slot)
    logger.error(
      { slot: names.slot, reason },
      'gave the replication slot up, to save the disk of the database or because it is of no use any more; `redstream verify NAME --repair` is due when the follower runs',
    )
  }

  #warn(slot: Slot): void {
    const { settings, names, logger } = this.#site
    const isMuch = slot.keptBytes > settings.walWarnLag
    if (isMuch && !this.#warned) {
      const facts = { slot: names.slot, bytes: slot.keptBytes, limit: settings.walMaxLag }
      const reader = slot.reader === undefined ? 'nobody reads it' : `${describeReader(slot.reader)} reads it`
      logger.warn(facts, `the server keeps much log for the replication slot; ${reader}`)
    }
    this.#warned = isMuch
  }

  async #note(look: SlotLook, slot: Slot, { mark, verify }: Notes): Promise<void> {
    const { names, notes } = this.#site
    const now = await notes.now()
    const untold = await this.#demandUntold()
    await notes.noteSlot(
      { name: names.slot, confirmed: formatLsn(slot.confirmed) },
      nextMark(mark, look, now),
    )
    const told = [...verify].filter(([index, { slotAt }]) => slotAt === undefined && !untold.has(index))
    if (told.length > 0) await notes.resume(told.map(([index]) => index))
    for (const [index, due] of verify) await this.#settleByReindex(index, due)
  }

  /**
   * Somebody may alter publication and tables while the log is read, and nothing ends then: the server just does not tell of
   * some changes.
   *
   * @returns the indices that miss changes as long as it stays so
   */
  async #demandUntold(): Promise<ReadonlySet<string>> {
    const { names, notes, logger } = this.#site
    const { problems } = await lookAtTables(this.#site)
    const reason = problems.length === 0 ? '' : describeProblems(problems)
    const indexes = indexesBehind(this.#site, new Set(problems.flatMap(({ tables }) => tables)))
    if (indexes.size > 0) await notes.demand([...indexes], reason)
    if (reason !== '' && reason !== this.#untold)
      logger.error(
        { slot: names.slot, reason, indexes: [...indexes] },
        'the log does not tell all changes: run `redstream init`, then `redstream verify NAME --repair` for each index',
      )
    this.#untold = reason
    return indexes
  }

  /** A new index that was begun after the slot was made holds every change. */
  async #settleByReindex(name: string, due: VerifyDue): Promise<void> {
    const { redis, indexes, notes, logger } = this.#site
    const source = indexes.find(({ index }) => index.name === name)
    if (due.slotAt === undefined || source === undefined) return
    const state = await new ReindexStore(redis, source.partitions).read()
    const isDone = state !== undefined && ['keeping', 'retiring', 'dropping', 'done'].includes(state.phase)
    if (!isDone || state.startedAt < due.slotAt) return
    if (await notes.settle(name, due))
      logger.info({ index: name }, 'made anew since the slot was lost: in step again')
  }
}

/** The indices whose documents show rows of some tables. */
function indexesBehind({ sources }: LogSite, tables: ReadonlySet<WatchedTable>): Set<string> {
  const paths = new Set([...tables].map(({ metadata }) => metadata.tablePath))
  const behind = sources.filter(({ definition }) => paths.has(definition.metadata.tablePath))
  return new Set(
    behind.flatMap(({ index, paths: ways }) => [
      ...(index === undefined ? [] : [index.name]),
      ...ways.map(({ owner }) => owner.name),
    ]),
  )
}
