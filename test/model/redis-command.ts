import type { Lane } from '../../src/streams/keys.ts'
import type { Message } from '../../src/streams/message.ts'
import { compareStreamIds, type StreamId } from '../../src/streams/stream-id.ts'
import type { StreamName } from './fake-redis.ts'

/** One call of one of our scripts or of a command of Redis, in terms that both sides understand. */
export type Command =
  | { kind: 'delay' | 'delayOld'; messages: Message[] }
  | { kind: 'publish'; lane: Lane; messages: Message[]; entries: number[] }
  | { kind: 'move'; lane: Lane; entries: number[] }
  | { kind: 'discard'; entries: number[] }
  | { kind: 'requeueDue'; lane: Lane; hours: number; limit: number }
  | { kind: 'createGroup'; group: string }
  | { kind: 'read'; lane: Lane; group: string; consumer: string; count: number }
  | { kind: 'claim'; lane: Lane; group: string; consumer: string; idle: boolean; entries: number[] }
  | { kind: 'settle'; lane: Lane; group: string; entries: number[]; resolved: string[]; ticket: number }
  | { kind: 'bury'; row: string; ticket: number; type: string; most: number }
  | { kind: 'leave'; lane: Lane; group: string; consumer: string }
  | { kind: 'trim'; lane: Lane }
  | { kind: 'cut'; lane: Lane; entry: number }
  | { kind: 'ticket'; above: number }
  | { kind: 'loseTicket' }
  | { kind: 'addTarget' | 'removeTarget'; target: string }

/** What a command gave; `error` for a command that Redis refused. */
export type Answer = unknown

/** What is in Redis, with entries by their number in order of appearance, because ids differ. */
export interface State {
  readonly streams: Record<string, StreamState>
  readonly ticket: number | undefined
  readonly targets: string[]
  readonly letters: Record<string, { ticket: number; type: string; attempts: number }>
}

interface StreamState {
  readonly entries: [number, string[]][]
  readonly groups: Record<string, GroupState>
}

interface GroupState {
  readonly lastDelivered: number
  readonly oldestPending: number | undefined
  readonly pending: { entry: number; consumer: string; deliveries: number }[]
}

export const streamNames: readonly StreamName[] = ['main', 'bulk', 'delay']
const hourMs = 3_600_000

/** When the first of the old delay messages was written, for a test that began at `start`. */
export function oldIdMs(start: number, count: number): number {
  return start - 100 * hourMs + count * hourMs
}

/** The age at which the first few old delay messages are due; beyond these, none or all are. */
export function ageOf(start: number, now: number, hours: number): number {
  if (hours >= 6) return 0
  return hours === 5 ? 1e15 : now - (oldIdMs(start, hours) - hourMs / 2)
}

/** The entries that one side has seen, in order of their ids: their positions are their names on both sides. */
export class Entries {
  readonly #seen: Record<StreamName, StreamId[]> = { main: [], bulk: [], delay: [] }

  learn(stream: StreamName, ids: readonly StreamId[]): void {
    const seen = this.#seen[stream]
    const added = ids.filter((id) => !seen.includes(id)).sort((a, b) => compareStreamIds(a, b))
    seen.push(...added)
  }

  /** The ids of entries that a command names; none when there are none. */
  ids(stream: StreamName, numbers: readonly number[]): StreamId[] {
    const seen = this.#seen[stream]
    return seen.length === 0 ? [] : numbers.map((number) => seen[number % seen.length]!)
  }

  /** Position of an entry; -1 for what was never seen, such as `0-0`. */
  number(stream: StreamName, id: StreamId): number {
    return this.#seen[stream].indexOf(id)
  }
}
