import Table from 'cli-table3'
import colors from 'picocolors'

import { formatAge } from '../runtime/age.ts'
import type { LaneStatus, StreamStatus, WorkerStatus } from '../streams/inspect.ts'
import type { Status } from '../sync/pipeline.ts'

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
    ...formatUnserved(status.streams, yellow),
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

function formatUnserved(streams: readonly StreamStatus[], yellow: (text: string) => string): string[] {
  const lines = streams.flatMap(({ name, unservedGroups }) =>
    unservedGroups.map(
      ({ group, entries, unservedMs }) =>
        `  ${group} of ${name}: ${count(entries)} entries wait for it, last served ${formatAge(unservedMs)} ago`,
    ),
  )
  return lines.length === 0 ? [] : [yellow('Consumer groups that nobody serves:'), ...lines]
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
