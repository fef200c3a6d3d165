import Table from 'cli-table3'
import colors from 'picocolors'

import { formatAge } from '../runtime/age.ts'
import type { OutboxStatus } from '../outbox/queue.ts'
import type { LaneStatus, StreamStatus, WorkerStatus } from '../streams/inspect.ts'
import type { Status } from '../sync/pipeline.ts'
import type { LogStatus } from '../wal/log-status.ts'

/** A lag above this is shown in colour: the consumers are down or too slow. */
const longLagMs = 60_000
/** A worker that has got nothing done for longer waits for something, or hangs. */
const longSilenceMs = 10_000

/** The status for people: a row for each stream, and the workers that are alive. */
export function formatStatus(status: Status, { color = false } = {}): string {
  const { red, yellow } = colors.createColors(color)
  const table = new Table({
    head: ['stream', 'length', 'unread', 'pending', 'lag', 'bulk lane', 'delayed', 'dead letters'],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  })
  for (const { name, main, bulk, delay, deadLetters } of status.streams) {
    const lag = formatAge(main.lagMs)
    table.push([
      name,
      count(main.length),
      count(main.undelivered),
      count(main.pending),
      main.lagMs > longLagMs ? yellow(lag) : lag,
      formatBulk(bulk),
      formatDelay(delay),
      deadLetters > 0 ? red(count(deadLetters)) : '0',
    ])
  }
  return [
    table.toString(),
    ...formatOutbox(status.outbox, { red, yellow }),
    ...(status.triggers ?? []).map(red),
    ...formatUnserved(status.streams, yellow),
    ...(status.log === undefined ? [] : formatLog(status.log, { red, yellow })),
    formatWorkers(status.workers),
    '',
  ].join('\n')
}

function formatBulk(lane: LaneStatus): string {
  const left = lane.undelivered + lane.pending
  return left === 0 ? '0' : `${count(left)} to do (lag ${formatAge(lane.lagMs)})`
}

function formatDelay({ length, oldestMs }: StreamStatus['delay']): string {
  return length === 0 ? '0' : `${count(length)} (oldest ${formatAge(oldestMs)})`
}

type Colour = (text: string) => string

function formatOutbox(
  outbox: OutboxStatus | undefined,
  { red, yellow }: { readonly red: Colour; readonly yellow: Colour },
): string[] {
  if (outbox === undefined) return []
  const { length, oldestMs, setAside } = outbox
  const waits = `Outbox: ${length === 0 ? 'empty' : `${count(length)} rows, the oldest ${formatAge(oldestMs)} old`}`
  return [
    oldestMs > longLagMs ? yellow(waits) : waits,
    ...(setAside === 0 ? [] : [red(`Rows of the outbox that no relay can read: ${count(setAside)}`)]),
  ]
}

function formatUnserved(streams: readonly StreamStatus[], yellow: Colour): string[] {
  const lines = streams.flatMap(({ name, unservedGroups }) =>
    unservedGroups.map(
      ({ group, entries, unservedMs }) =>
        `  ${group} of ${name}: ${count(entries)} entries wait for it, last served ${formatAge(unservedMs)} ago`,
    ),
  )
  return lines.length === 0 ? [] : [yellow('Consumer groups that nobody serves:'), ...lines]
}

function formatLog(
  { slot, state, keptBytes, lagMs, problem, verify }: LogStatus,
  { red, yellow }: Pick<ReturnType<typeof colors.createColors>, 'red' | 'yellow'>,
): string[] {
  const states: Record<LogStatus['state'], string> = {
    read: 'a follower reads it',
    waits: yellow('nobody reads it'),
    missing: red('it is missing'),
    lost: red('the server has removed what it needs'),
    unknown: yellow('the database does not tell'),
  }
  const kept = keptBytes === null ? '' : `, ${count(keptBytes)} bytes kept`
  const lag = lagMs === null ? '' : `, lag ${formatAge(lagMs)}`
  return [
    `Log of the database, slot ${slot}: ${states[state]}${kept}${lag}`,
    ...(problem === undefined ? [] : [red(`  ${problem}`)]),
    ...verify.map(({ index, reason, since }) =>
      red(
        `  ${index} may miss changes since ${since}, because ${reason}: redstream verify ${index} --repair`,
      ),
    ),
  ]
}

function formatWorkers(workers: readonly WorkerStatus[]): string {
  if (workers.length === 0) return 'No worker is alive; start them with: redstream run'
  const lines = workers.map(
    ({ kind, host, pid, seenMs, progressMs }) =>
      `  ${kind.padEnd(8)}  ${host}, process ${pid}, seen ${formatAge(seenMs)} ago${formatProgress(progressMs)}`,
  )
  return ['Workers alive:', ...lines].join('\n')
}

function formatProgress(progressMs: number): string {
  return progressMs > longSilenceMs ? `, no progress for ${formatAge(progressMs)}` : ''
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}
