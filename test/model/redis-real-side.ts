import { createGroup } from '../../src/streams/group-member.ts'
import { bury } from '../../src/streams/dead-letters.ts'
import type { Lane, Partition } from '../../src/streams/keys.ts'
import {
  parseEntries,
  parseRead,
  readGroups,
  readMembers,
  readPending,
  type Entry,
} from '../../src/streams/replies.ts'
import { runScript, type RedisClient } from '../../src/streams/scripts.ts'
import { parseStreamId, type StreamId } from '../../src/streams/stream-id.ts'
import { StreamWriter } from '../../src/streams/stream-writer.ts'
import { trimPoint } from '../../src/streams/trim-point.ts'
import { takeTicket } from '../../src/sync/ticket.ts'
import type { StreamName } from './fake-redis.ts'
import {
  ageOf,
  Entries,
  oldIdMs,
  streamNames,
  type Answer,
  type Command,
  type State,
} from './redis-command.ts'

const unlimited = 1_000

/** Runs commands on a partition of the real Redis, through the functions that the product uses. */
export class RealSide {
  readonly #redis: RedisClient
  readonly #partition: Partition
  readonly #writer: StreamWriter
  readonly #start: number
  readonly #entries = new Entries()
  #old = 0

  constructor(redis: RedisClient, partition: Partition, start: number) {
    this.#redis = redis
    this.#partition = partition
    this.#writer = new StreamWriter(redis, [partition])
    this.#start = start
  }

  async run(command: Command): Promise<Answer> {
    try {
      return await this.#run(command)
    } catch (error) {
      if (error instanceof Error && error.name === 'ReplyError') return 'error'
      throw error
    }
  }

  async state(): Promise<State> {
    const { keys } = this.#partition
    const [streams, texts, ticket, targets] = await Promise.all([
      Promise.all(streamNames.map((name) => this.#stream(name))),
      this.#redis.hgetall(keys.deadLetters),
      this.#redis.get(keys.ticket),
      this.#redis.smembers(keys.targets),
    ])
    const letters = Object.entries(texts).map(([row, json]) => {
      const letter = JSON.parse(json) as { ticket: string; type: string; attempts: number }
      const { type, attempts } = letter
      return [row, { ticket: Number(letter.ticket), type, attempts }] as const
    })
    return {
      streams: Object.fromEntries(streams.flat()),
      ticket: ticket === null ? undefined : Number(ticket),
      targets: targets.sort(),
      letters: Object.fromEntries(letters),
    }
  }

  async #stream(name: StreamName): Promise<[StreamName, State['streams'][string]][]> {
    const key = this.#partition.keys[name]
    const [exists, reply] = await Promise.all([this.#redis.exists(key), this.#redis.xrange(key, '-', '+')])
    if (exists === 0) return []
    const found = parseEntries(reply)
    this.#entries.learn(
      name,
      found.map(({ id }) => id),
    )
    const groups = name === 'delay' ? {} : await this.#groups(name)
    return [[name, { entries: this.#numbered(name, found), groups }]]
  }

  async #run(command: Command): Promise<Answer> {
    const redis = this.#redis
    const { keys } = this.#partition
    const delayEntries = (numbers: readonly number[]): { partition: Partition; id: string }[] =>
      this.#entries.ids('delay', numbers).map((id) => ({ partition: this.#partition, id }))
    switch (command.kind) {
      case 'delay':
        return void (await this.#writer.delay(command.messages))
      case 'delayOld': {
        const fields = command.messages.flatMap(({ id, payload }) =>
          payload === undefined ? ['id', id] : ['id', id, 'payload', payload],
        )
        await redis.xadd(keys.delay, `${oldIdMs(this.#start, this.#old++)}-0`, ...fields)
        return undefined
      }
      case 'publish':
        return this.#writer.publish(command.messages, command.lane, delayEntries(command.entries))
      case 'move':
        return this.#writer.move(delayEntries(command.entries), command.lane)
      case 'discard':
        return this.#writer.discard(delayEntries(command.entries))
      case 'requeueDue': {
        const age = ageOf(this.#start, Date.now(), command.hours)
        const args = ['due', age, command.limit, 'all', '']
        const reply = (await runScript(redis, 'requeue', [keys.delay, keys[command.lane]], args)) as unknown[]
        // Not how far it has looked, for the next call.
        return reply.slice(0, 2)
      }
      case 'createGroup':
        return createGroup(redis, this.#partition, command.group)
      case 'bury':
        return bury(
          redis,
          this.#partition,
          [{ id: command.row, type: command.type, reason: 'r' }],
          String(command.ticket),
          command.most,
        )
      case 'ticket': {
        const { version, targets } = await takeTicket(redis, this.#partition, String(command.above))
        return { version: Number(version), targets: [...targets].sort() }
      }
      case 'loseTicket':
        return void (await redis.del(keys.ticket))
      case 'addTarget':
        return void (await redis.sadd(keys.targets, command.target))
      case 'removeTarget':
        return void (await redis.srem(keys.targets, command.target))
      default:
        return this.#runOnLane(command)
    }
  }

  async #runOnLane(command: LaneCommand): Promise<Answer> {
    const redis = this.#redis
    const { lane } = command
    const key = this.#partition.keys[lane]
    switch (command.kind) {
      case 'read': {
        const { group, consumer, count } = command
        const reply = await redis.xreadgroup('GROUP', group, consumer, 'COUNT', count, 'STREAMS', key, '>')
        return this.#numbered(lane, parseRead(reply).get(key) ?? [])
      }
      case 'claim':
        return this.#numbered(lane, await this.#claim(command, this.#entries.ids(lane, command.entries)))
      case 'settle': {
        const ids = this.#entries.ids(lane, command.entries)
        const { group, resolved } = command
        const args = [group, ids.length, ...ids, command.ticket, resolved.length, ...resolved]
        return runScript(redis, 'settle', [key, this.#partition.keys.deadLetters], args)
      }
      case 'leave':
        return runScript(redis, 'leave', [key], [command.group, command.consumer])
      case 'trim': {
        const { before } = trimPoint(await readGroups(redis, key), ['index'], undefined)
        return before === undefined ? 0 : redis.xtrim(key, 'MINID', before)
      }
      case 'cut': {
        const [id] = this.#entries.ids(lane, [command.entry])
        return id === undefined ? 0 : redis.xtrim(key, 'MINID', id)
      }
    }
  }

  /** As `GroupMember` does, with its care for entries that were deleted while they were pending. */
  async #claim({ lane, group, consumer, idle }: Claim, ids: readonly StreamId[]): Promise<Entry[]> {
    if (ids.length === 0) return []
    const key = this.#partition.keys[lane]
    const claimed = parseEntries(await this.#redis.xclaim(key, group, consumer, idle ? 1e9 : 0, ...ids))
    for (const id of ids) {
      if (claimed.some((entry) => entry.id === id)) continue
      if ((await this.#redis.xrange(key, id, id)).length === 0) await this.#redis.xack(key, group, id)
    }
    return claimed
  }

  async #groups(lane: Lane): Promise<State['streams'][string]['groups']> {
    const key = this.#partition.keys[lane]
    const groups: State['streams'][string]['groups'] = {}
    for (const { name, lastDelivered, oldestPending } of await readGroups(this.#redis, key)) {
      const pending = []
      for (const member of (await readMembers(this.#redis, key, name)).keys())
        pending.push(...(await readPending(this.#redis, key, name, member, undefined, unlimited)))
      const numbered = pending.map(({ id, consumer, deliveries }) => {
        return { entry: this.#entries.number(lane, parseStreamId(id)), consumer, deliveries }
      })
      groups[name] = {
        lastDelivered: this.#entries.number(lane, lastDelivered),
        oldestPending: oldestPending === undefined ? undefined : this.#entries.number(lane, oldestPending),
        pending: numbered.sort((a, b) => a.entry - b.entry),
      }
    }
    return groups
  }

  #numbered(stream: StreamName, entries: readonly Entry[]): [number, string[]][] {
    return entries.map(({ id, fields }) => [this.#entries.number(stream, id), fields])
  }
}

type LaneCommand = Extract<Command, { kind: 'read' | 'claim' | 'settle' | 'leave' | 'trim' | 'cut' }>
type Claim = Extract<Command, { kind: 'claim' }>
