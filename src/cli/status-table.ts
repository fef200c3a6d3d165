import Table from 'cli-table3'
import colors from 'picocolors'

import type { LaneStatus, StreamStatus, WorkerStatus } from '../streams/inspect.ts'
import type { Status } from '../sync/pipeline.ts'

/** A lag above this is shown in colour: the consumers are down or too slow. */
const longLagMs = 60_000

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
  return `${table.toString()}\n${formatWorkers(status.workers)}\n`
}

function formatBulk(lane: LaneStatus): string {
  const left = lane.undelivered + lane.pending
  return left === 0 ? '0' : `${count(left)} to do (lag ${formatAge(lane.lagMs)})`
}

function formatDelay({ length, oldestMs }: StreamStatus['delay']): string {
  return length === 0 ? '0' : `${count(length)} (oldest ${formatAge(oldestMs)})`
}

function formatWorkers(workers: readonly WorkerStatus[]): string {
  if (workers.length === 0) return 'No worker is alive; start them with: redstream run'
  const lines = workers.map(
    ({ kind, host, pid, seenMs }) =>
      `  ${kind.padEnd(8)}  ${host}, process ${pid}, seen ${formatAge(seenMs)} ago`,
  )
  return ['Workers alive:', ...lines].join('\n')
}

/** A number of milliseconds in the two largest units that matter: `340 ms`, `12 s`, `3 m 20 s`, `2 h 5 m`, `4 d 1 h`. */
export function formatAge(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  const seconds = Math.floor(ms / 1_000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} m ${seconds % 60} s`
  const hours = Math.floor(minutes / 60)
  return hours < 24 ? `${hours} h ${minutes % 60} m` : `${Math.floor(hours / 24)} d ${hours % 24} h`
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}
