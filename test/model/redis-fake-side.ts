import { encodeMessage } from '../../src/streams/message.ts'
import type { StreamId } from '../../src/streams/stream-id.ts'
import { trimPoint } from '../../src/streams/trim-point.ts'
import {
  addTargets,
  createGroup,
  groupsOf,
  newRedis,
  nowMs,
  pendingOf,
  removeTargets,
  xadd,
  xclaim,
  xdel,
  xreadgroup,
  xtrim,
  type FakeEntry,
  type FakeRedis,
  type StreamName,
} from './fake-redis.ts'
import { bury, leave, publish, requeueDue, requeueIds, settle, takeTicket } from './fake-scripts.ts'
import {
  ageOf,
  Entries,
  oldIdMs,
  streamNames,
  type Answer,
  type Command,
  type State,
} from './redis-command.ts'

const minute = 60_000_000

/** Runs commands on the fake Redis. */
export class FakeSide {
  readonly #redis: FakeRedis
  readonly #start: number
  readonly #entries = new Entries()
  #old = 0

  constructor(start: number) {
    this.#start = start
    this.#redis = newRedis(start * 1_000)
  }

  clockIs(micros: number): void {
    this.#redis.micros = micros
  }

  /** @param real - what the real side answered: only it can say what its clock was at a ticket */
  run(command: Command, real: Answer): Answer {
    try {
      return this.#run(command, real)
    } catch {
      return 'error'
    }
  }

  state(): State {
    const { ticket, targets, letters } = this.#redis
    const streams: State['streams'] = {}
    for (const name of streamNames) {
      const stream = this.#redis.streams[name]
      if (stream === undefined) continue
      this.#entries.learn(
        name,
        stream.entries.map(({ id }) => id),
      )
      const groups = name === 'delay' ? [] : groupsOf(this.#redis, name)
      streams[name] = {
        entries: this.#numbered(name, stream.entries),
        groups: Object.fromEntries(
          groups.map(({ name: group, lastDelivered, oldestPending }) => [
            group,
            {
              lastDelivered: this.#entries.number(name, lastDelivered),
              oldestPending:
                oldestPending === undefined ? undefined : this.#entries.number(name, oldestPending),
              pending: name === 'delay' ? [] : this.#pending(name, group),
            },
          ]),
        ),
      }
    }
    return { streams, ticket, targets: [...targets].sort(), letters: structuredClone(letters) }
  }

  #run(command: Command, real: Answer): Answer {
    const redis = this.#redis
    const delayed = (numbers: readonly number[]): StreamId[] => this.#entries.ids('delay', numbers)
    switch (command.kind) {
      case 'delay':
        return void xadd(redis, 'delay', command.messages.flatMap(encodeMessage))
      case 'delayOld': {
        const id: StreamId = `${oldIdMs(this.#start, this.#old++)}-0`
        return void xadd(redis, 'delay', command.messages.flatMap(encodeMessage), id)
      }
      case 'publish':
        return void publish(redis, command.lane, command.messages, delayed(command.entries))
      case 'move': {
        const [, moved] = requeueIds(redis, command.lane, delayed(command.entries))
        return delayed(command.entries).length - moved
      }
      case 'discard':
        return void xdel(redis, 'delay', delayed(command.entries))
      case 'requeueDue':
        return requeueDue(redis, command.lane, ageOf(this.#start, nowMs(redis), command.hours), command.limit)
      case 'createGroup':
        createGroup(redis, 'main', command.group)
        return void createGroup(redis, 'bulk', command.group)
      case 'read': {
        const { lane, group, consumer, count } = command
        return this.#numbered(lane, xreadgroup(redis, lane, group, consumer, count))
      }
      case 'claim': {
        const { lane, group, consumer, idle } = command
        const ids = this.#entries.ids(lane, command.entries)
        if (ids.length === 0) return []
        return this.#numbered(lane, xclaim(redis, lane, group, consumer, idle ? 1e9 : 0, ids))
      }
      case 'settle': {
        const ids = this.#entries.ids(command.lane, command.entries)
        return settle(redis, command.lane, command.group, ids, command.resolved, command.ticket)
      }
      case 'bury':
        return bury(redis, command.row, command.ticket, command.type, command.most) === 0 ? [command.row] : []
      case 'leave':
        return leave(redis, command.lane, command.group, command.consumer)
      case 'trim': {
        const { before } = trimPoint(groupsOf(redis, command.lane), ['index'], undefined)
        return before === undefined ? 0 : xtrim(redis, command.lane, before)
      }
      case 'cut': {
        const [id] = this.#entries.ids(command.lane, [command.entry])
        return id === undefined ? 0 : xtrim(redis, command.lane, id)
      }
      case 'ticket':
        return this.#ticket(command.above, real)
      case 'loseTicket':
        return void (redis.ticket = undefined)
      case 'addTarget':
        return addTargets(redis, [command.target])
      case 'removeTarget':
        return removeTargets(redis, [command.target])
    }
  }

  /** A ticket that came from the clock differs by the time that the command took. */
  #ticket(above: number, real: Answer): Answer {
    const { version, targets } = takeTicket(this.#redis, above)
    const answer = { version, targets: targets.sort() }
    const other = (real as { version?: number }).version
    if (
      version === this.#redis.micros &&
      other !== undefined &&
      other - version >= 0 &&
      other - version < minute
    ) {
      this.#redis.ticket = other
      answer.version = other
    }
    return answer
  }

  #pending(
    lane: Exclude<StreamName, 'delay'>,
    group: string,
  ): State['streams'][string]['groups'][string]['pending'] {
    return pendingOf(this.#redis, lane, group).map(({ id, consumer, deliveries }) => {
      return { entry: this.#entries.number(lane, id), consumer, deliveries }
    })
  }

  #numbered(stream: StreamName, entries: readonly FakeEntry[]): [number, string[]][] {
    return entries.map(({ id, fields }) => [this.#entries.number(stream, id), fields])
  }
}
