import type { OutboxStatus } from '../outbox/queue.ts'
import type { WorkerStatus } from '../streams/inspect.ts'
import type { UnservedGroup } from '../streams/unserved-group.ts'
import type { Status } from '../sync/pipeline.ts'
import { logProblems, type LogProblem } from '../wal/log-problems.ts'
import { formatAge } from './age.ts'
import type { ProgressReport } from './progress.ts'
import type { WorkerKind } from './worker.ts'

/** A worker of this process, and how it gets on. */
export interface WatchedWorker extends ProgressReport {
  readonly kind: WorkerKind
  readonly name: string
}

/** What `/health/live` and `/health/ready` answer. */
export interface Verdict {
  readonly ok: boolean
  /** Why it is not; empty when it is. */
  readonly reasons: readonly string[]
  readonly workers: readonly {
    readonly kind: WorkerKind
    readonly name: string
    readonly progressMs: number
    /** What must be there again before it can go on. */
    readonly waitsFor: readonly string[]
  }[]
}

/**
 * Whether this process should go on. It should not when one of its workers hangs: an activity gave no sign of life
 * for longer than `stallAfterMs`, which a new process mends. A worker that fails, says what it waits for and tries
 * again is alive, however long that takes: a new process would fail the same way, and take the healthy streams of
 * this one down with it.
 */
export function judgeLive(workers: readonly WatchedWorker[], stallAfterMs: number): Verdict {
  const reasons = workers
    .filter(({ silentMs }) => silentMs > stallAfterMs)
    .map(
      ({ kind, name, silentMs, step }) =>
        `the ${kind} ${name} hangs: it has been at the step "${step}" for ${formatAge(silentMs)}`,
    )
  return verdict(reasons, workers)
}

/**
 * Whether this process does its part: Redis answers, and its workers run. What one stream waits for, such as an index
 * that was deleted, is listed and makes nobody unready, because the others are served.
 *
 * @param redisProblem - why Redis does not answer, undefined when it does
 */
export function judgeReady(
  workers: readonly WatchedWorker[],
  { redisProblem, stopping }: { redisProblem: string | undefined; stopping: boolean },
): Verdict {
  const ended = workers
    .filter(({ running }) => !running)
    .map(({ kind, name }) => `the ${kind} ${name} does not run`)
  const reasons = [
    ...(redisProblem === undefined ? [] : [redisProblem]),
    ...(stopping ? ['this process is stopping'] : ended),
  ]
  return verdict(reasons, workers)
}

function verdict(reasons: readonly string[], workers: readonly WatchedWorker[]): Verdict {
  return {
    ok: reasons.length === 0,
    reasons,
    workers: workers.map(({ kind, name, progressMs, waitsFor }) => ({
      kind,
      name,
      progressMs: Math.round(progressMs),
      waitsFor,
    })),
  }
}

/** A worker gives a sign of life every 500 ms; one that is silent for this long is dead, paused or cut off. */
const aliveMs = 10_000

/** Those of the workers seen in the last minute that are still alive. */
export function aliveWorkers(workers: readonly WorkerStatus[]): WorkerStatus[] {
  return workers.filter(({ seenMs }) => seenMs <= aliveMs)
}

/** Something that `redstream health` complains of. */
export interface Problem {
  readonly problem:
    | 'lag'
    | 'outbox-lag'
    | 'outbox-set-aside'
    | 'triggers'
    | 'unserved-group'
    | 'no-worker'
    | 'no-progress'
    | LogProblem['problem']
  readonly stream?: string
  readonly kind?: WorkerKind
  /** For people. */
  readonly message: string
}

/**
 * What is wrong with the installation as a whole: a main lane or an outbox that is too far behind, triggers that are not
 * as they should be, a slot that keeps too much, a consumer group that nobody serves and that holds its stream, or a kind
 * of worker of which none is alive and gets on. The bulk lane is not judged: it may hold a million rows that somebody
 * queued at once.
 *
 * @param kinds - the kinds of workers that are needed
 */
export function healthProblems(
  { streams, workers, outbox, triggers = [], log }: Status,
  limits: { readonly maxLagMs: number; readonly stallAfterMs: number; readonly walWarnLag: number },
  kinds: readonly WorkerKind[],
): Problem[] {
  const late = streams
    .filter(({ main }) => main.lagMs > limits.maxLagMs)
    .map(({ name, main }): Problem => ({
      problem: 'lag',
      stream: name,
      message: `${name} is ${formatAge(main.lagMs)} behind, the limit is ${formatAge(limits.maxLagMs)}: see \`redstream status\` and the log of the consumers`,
    }))
  const unserved = streams.flatMap(({ name, unservedGroups }) =>
    unservedGroups.filter(({ entries }) => entries > 0).map((group) => unservedProblem(name, group)),
  )
  const alive = aliveWorkers(workers)
  return [
    ...late,
    ...outboxProblems(outbox, limits.maxLagMs),
    ...triggers.map((message): Problem => ({ problem: 'triggers', message })),
    ...unserved,
    ...(log === undefined ? [] : logProblems(log, limits)),
    ...kinds.flatMap((kind) => workerProblem(kind, alive, limits.stallAfterMs) ?? []),
  ]
}

function outboxProblems(outbox: OutboxStatus | undefined, maxLagMs: number): Problem[] {
  const problems: Problem[] = []
  if (outbox !== undefined && outbox.oldestMs > maxLagMs) {
    const message = `the outbox is ${formatAge(outbox.oldestMs)} behind, the limit is ${formatAge(maxLagMs)}: see the log of the relays`
    problems.push({ problem: 'outbox-lag', message })
  }
  if (outbox !== undefined && outbox.setAside > 0) {
    const message =
      `${outbox.setAside} rows of the outbox cannot be read by the relays: see their column \`problem\` ` +
      '(docs/operations.md, "The outbox")'
    problems.push({ problem: 'outbox-set-aside', message })
  }
  return problems
}

function unservedProblem(stream: string, { group, entries, unservedMs }: UnservedGroup): Problem {
  const message =
    `nobody has served the consumer group ${group} of ${stream} for ${formatAge(unservedMs)}, and ${entries} entries ` +
    'wait for it: start its consumers, or remove it (docs/operations.md, "Your own consumer groups")'
  return { problem: 'unserved-group', stream, message }
}

function workerProblem(
  kind: WorkerKind,
  alive: readonly WorkerStatus[],
  stallAfterMs: number,
): Problem | undefined {
  const ofKind = alive
    .filter((worker) => worker.kind === kind)
    .toSorted((a, b) => a.progressMs - b.progressMs)
  const [best] = ofKind
  if (best === undefined) {
    const message = `no ${kind} is alive: start one with \`redstream run\` or \`redstream ${kind}\``
    return { problem: 'no-worker', kind, message }
  }
  if (best.progressMs <= stallAfterMs) return undefined
  const where = `process ${best.pid} on ${best.host}`
  const message = `no ${kind} gets on: ${where} has got nothing done for ${formatAge(best.progressMs)}; see its log`
  return { problem: 'no-progress', kind, message }
}
