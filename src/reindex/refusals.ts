import { RedstreamError } from '../errors.ts'
import { nextPhase } from './phases.ts'
import { isUnderWay, type Driver, type ReindexState } from './state.ts'

/** What somebody may want of a reindex. */
export type Wish = 'cancelled' | 'rolledBack'

/** Whether a wish is being fulfilled: by another process, or it was cut off, and is to be gone on with. */
export function isGranted({ phase, swappedAt }: ReindexState, wish: Wish): boolean {
  if (phase === 'swappingBack') return wish === 'rolledBack'
  return phase === 'removing' && (wish === 'rolledBack') === (swappedAt !== undefined)
}

/** Why a reindex cannot be cancelled or rolled back, or undefined. */
export function wishProblem(name: string, state: ReindexState | undefined, wish: Wish): string | undefined {
  if (state !== undefined && ['removing', 'swappingBack'].includes(state.phase))
    return `the reindex of "${name}" is being undone; wait for that with \`redstream reindex ${name} --wait\``
  if (wish === 'cancelled') {
    if (state === undefined || !isUnderWay(state)) return `no reindex of "${name}" is under way`
    if (nextPhase(state.phase, wish) !== undefined) return undefined
    return `the reindex of "${name}" is swapping the alias; undo it with \`redstream rollback ${name}\` after that`
  }
  if (state !== undefined && nextPhase(state.phase, wish) !== undefined) return undefined
  if (state !== undefined && isUnderWay(state))
    return `a reindex of "${name}" is under way; undo it with \`redstream reindex ${name} --cancel\``
  return `there is no older index of "${name}" to go back to; the setting keepOld says how long it is kept`
}

/** Another process drives it. */
export function drivenElsewhere(name: string, { host, pid, since }: Driver): RedstreamError {
  return new RedstreamError(
    'INDEX',
    `A reindex of "${name}" is driven by process ${pid} on ${host} since ${new Date(since).toISOString()}. Follow it ` +
      `with \`redstream progress ${name} --follow\`, wait for it with \`redstream reindex ${name} --wait\`, or undo ` +
      `it with \`redstream reindex ${name} --cancel\`.`,
  )
}

/** Somebody, or a loss of data, has replaced what Redis knew of a reindex. */
export function lostState(state: ReindexState | undefined): RedstreamError {
  return new RedstreamError(
    'INDEX',
    `Redis has lost what it knew of the reindex to ${state?.to ?? 'a new index'}. The alias points to one index as ` +
      'before, or to the new one if it was complete; run the command again, and `redstream verify` after it.',
  )
}

/** The old index is no longer what the rows are. */
export function missedChanges({ name, from }: ReindexState): RedstreamError {
  return new RedstreamError(
    'INDEX',
    `"${name}" is not rolled back: Redis lost the list of the indices to write to, so ${from} may have missed changes. ` +
      `Take the change of the declaration back and run \`redstream reindex ${name}\` instead.`,
  )
}

/** There is nothing to swap the alias back to, or not from there. */
export function cannotGoBack({ name, from, to }: ReindexState, behind: readonly string[]): RedstreamError {
  const elsewhere = behind.filter((index) => index !== from && index !== to)
  const reason =
    elsewhere.length === 0
      ? `the old index ${from} is gone; somebody has removed it`
      : `somebody has moved the alias to ${elsewhere.join(', ')}; move it back to ${to} first (POST _aliases)`
  return new RedstreamError('INDEX', `"${name}" is not rolled back: ${reason}.`)
}

/** The reindex before it has something left to do, and it was not done. */
export function notBegun({ name, from }: ReindexState): RedstreamError {
  return new RedstreamError(
    'INDEX',
    `No reindex of "${name}" is begun: the old index ${from} of the last one is to be removed before, and that was ` +
      'stopped, or another process does it. Run the command again.',
  )
}

/** The code of this process is older, or newer. */
export function otherDefinition({ name, to }: ReindexState): RedstreamError {
  return new RedstreamError(
    'INDEX',
    `A reindex of "${name}" to ${to} is unfinished, but that index is declared otherwise than in this configuration. ` +
      `Go on with it from the version that began it, or undo it with \`redstream reindex ${name} --cancel\`.`,
  )
}
