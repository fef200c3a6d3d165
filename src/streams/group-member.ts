import type { Events } from '../runtime/events.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Activity } from '../runtime/progress.ts'
import type { Resolution } from './batch.ts'
import {
  entriesPerRead,
  isQuiet,
  laneOfTurn,
  mayClaim,
  membersToSearch,
  nextClaim,
  type Claim,
  type ClaimView,
} from './claim-policy.ts'
import { blockMs, type RedisConnections } from './connection.ts'
import { readAlive, type Heartbeat } from './heartbeat.ts'
import { lanes, type Lane, type Partition } from './keys.ts'
import { encodeLeave } from './message.ts'
import { replyCode } from './redis-error.ts'
import {
  parseEntries,
  parseRead,
  readGroups,
  readMembers,
  readPending,
  type Entry,
  type PendingEntry,
} from './replies.ts'
import { runScript, type RedisClient } from './scripts.ts'
import type { StreamId } from './stream-id.ts'

/** Entries of one lane that this member has been given. */
export interface Delivery {
  readonly lane: Lane
  readonly entries: readonly Entry[]
  /** How often they were delivered, with this time. */
  readonly deliveries: number
  /** To be worked on without any other batch in flight in this process. */
  readonly alone: boolean
}

export interface GroupMemberOptions {
  readonly connections: RedisConnections
  readonly namespace: string
  readonly partition: Partition
  readonly group: string
  readonly batchSize: number
  readonly takeOverAfterMs: number
  readonly events?: Events | undefined
  readonly logger: Logger
}

/**
 * One member of a consumer group on both lanes of a partition: joins, reads, takes over from the dead, acknowledges,
 * leaves. What it was given and is working on is held in memory only to tell it from replies that were lost.
 */
export class GroupMember {
  readonly #options: GroupMemberOptions
  readonly #heartbeat: Heartbeat
  readonly #commands: RedisClient
  readonly #reader: RedisClient
  readonly #inFlight = new Set<Delivery>()
  readonly #read: Delivery[] = []
  #turn = 0
  /** When the main lane last had something, in ms of the monotonic clock. */
  #mainAt = -Infinity

  /** @param loop - who waits for what is read: it hears of every attempt to reach Redis that failed meanwhile */
  constructor(options: GroupMemberOptions, heartbeat: Heartbeat, loop: Activity, signal: AbortSignal) {
    this.#options = options
    this.#heartbeat = heartbeat
    this.#commands = options.connections.commands
    this.#reader = options.connections.blocking(signal)
    this.#reader.on('close', () => loop.failed())
  }

  /** Makes the group where it is missing (it then gets everything that is still in the stream) and shows a heartbeat. */
  async join(): Promise<void> {
    await createGroup(this.#commands, this.#options.partition, this.#options.group)
    await this.#heartbeat.start()
  }

  /**
   * The next entries that no member has read; undefined when there are none. With `wait`, up to 500 ms for some to
   * arrive, and longer while Redis cannot be reached. The bulk lane is read when the main lane is empty, and every
   * eighth time, unless there is only the main lane to read `from`.
   */
  async read(wait: boolean, from: readonly Lane[] = lanes): Promise<Delivery | undefined> {
    const held = this.#read.shift()
    if (held !== undefined) return held
    const first = laneOfTurn(this.#turn++)
    try {
      for (const lane of from.toSorted((a, b) => Number(b === first) - Number(a === first))) {
        this.#read.push(...(await this.#readGroup([lane], false)))
        if (this.#read.length > 0) return this.#read.shift()
      }
      if (wait) this.#read.push(...(await this.#readGroup(from, true)))
    } catch (error) {
      await this.#repairGroup(error)
    }
    return this.#read.shift()
  }

  /** Entries of members that are dead, and our own whose reply was lost; undefined when there are none. */
  async takeOver(): Promise<Delivery | undefined> {
    const { namespace, partition, group, takeOverAfterMs } = this.#options
    const me = this.#heartbeat.member
    try {
      for (const lane of lanes) {
        const members = await readMembers(this.#commands, partition.keys[lane], group)
        if ([...members].every(([name, pending]) => name === me && pending === 0)) continue
        const alive = await readAlive(this.#commands, namespace, [...members.keys()], takeOverAfterMs)
        const claim = await this.#claimable(lane, members, alive)
        const entries = claim === undefined ? [] : await this.#claim(lane, claim)
        await this.#forgetDead(lane, members, alive)
        if (claim !== undefined && entries.length > 0) return this.#take({ ...claim, lane, entries })
      }
    } catch (error) {
      await this.#repairGroup(error)
    }
    return undefined
  }

  /** Acknowledges entries; the older dead letters of the rows in `resolved` are removed in the same step. */
  async settle(lane: Lane, finished: readonly Entry[], resolved: readonly Resolution[]): Promise<void> {
    const { partition, group } = this.#options
    const keys = [partition.keys[lane], partition.keys.deadLetters]
    const ids = finished.map((entry) => entry.id)
    // As a rule there are no dead letters, and the rows need not be named.
    if ((await runScript(this.#commands, 'acknowledge', keys, [group, ids.join(' ')])) !== -1) return
    const rows = resolved.flatMap((one) => [one.version, one.ids.length, ...one.ids])
    await runScript(this.#commands, 'settle', keys, [group, ids.length, ...ids, ...rows])
  }

  /** Forgets how often entries were delivered: they have not ended this process, so they are not to blame. */
  async acquit(lane: Lane, entries: readonly Entry[]): Promise<void> {
    const { partition, group } = this.#options
    const ids = entries.map((entry) => entry.id)
    await this.#commands.xclaim(
      partition.keys[lane],
      group,
      this.#heartbeat.member,
      0,
      ...ids,
      'RETRYCOUNT',
      1,
      'JUSTID',
    )
  }

  /** Says that this member no longer works on the entries, done or not. */
  release(delivery: Delivery): void {
    this.#inFlight.delete(delivery)
  }

  /** Leaves the group; what it still holds is free for others at once, and one of them is woken for it. */
  async leave(): Promise<void> {
    const { connections, partition, group } = this.#options
    connections.release(this.#reader)
    const me = this.#heartbeat.member
    const left = lanes.map((lane) => this.#remove(partition.keys[lane], group, me).catch(() => true))
    // All at once: when Redis does not answer, a stop takes one timeout and not three.
    const [isOut] = await Promise.all([Promise.all(left), this.#heartbeat.stop()])
    if (isOut.every(Boolean)) return
    await this.#commands.xadd(partition.keys.main, '*', ...encodeLeave(me)).catch(() => undefined)
  }

  #take(delivery: Delivery): Delivery {
    this.#inFlight.add(delivery)
    return delivery
  }

  #idsInFlight(lane: Lane): Set<string> {
    const ofLane = [...this.#inFlight].filter((delivery) => delivery.lane === lane)
    return new Set(ofLane.flatMap(({ entries }) => entries.map(({ id }) => id)))
  }

  async #readGroup(from: readonly Lane[], wait: boolean): Promise<Delivery[]> {
    const { partition, group, batchSize } = this.#options
    const quiet = isQuiet(performance.now() - this.#mainAt)
    const count = entriesPerRead(from, batchSize, quiet)
    const keys = from.map((lane) => partition.keys[lane])
    const ids = from.map(() => '>')
    const me = this.#heartbeat.member
    const reply = wait
      ? this.#reader.xreadgroup(
          'GROUP',
          group,
          me,
          'COUNT',
          count,
          'BLOCK',
          blockMs,
          'STREAMS',
          ...keys,
          ...ids,
        )
      : this.#reader.xreadgroup('GROUP', group, me, 'COUNT', count, 'STREAMS', ...keys, ...ids)
    const read = parseRead(await this.#unlessEnded(reply))
    return from.flatMap((lane) => {
      const entries = read.get(partition.keys[lane]) ?? []
      if (entries.length === 0) return []
      if (lane === 'main') this.#mainAt = performance.now()
      const { stream } = partition
      this.#options.events?.tell('delivered', { stream, group, lane, entries: entries.length })
      return [this.#take({ lane, entries, deliveries: 1, alone: false })]
    })
  }

  /**
   * The reply, or a rejection when the reader has given up on Redis: ioredis forgets a command that was sent over one
   * connection, when a later one ends before it is ready.
   */
  #unlessEnded<T>(reply: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error('Connection is closed.'))
      this.#reader.once('end', ended)
      // Not Promise.race with one promise for all reads: it would hold on to every reply.
      void reply.then(resolve, reject).finally(() => this.#reader.off('end', ended))
    })
  }

  async #claimable(
    lane: Lane,
    members: ReadonlyMap<string, number>,
    alive: ReadonlySet<string>,
  ): Promise<Claim | undefined> {
    const { partition, group, batchSize, takeOverAfterMs } = this.#options
    const key = partition.keys[lane]
    const view: ClaimView = {
      me: this.#heartbeat.member,
      inFlight: this.#idsInFlight(lane),
      alive,
      takeOverAfterMs,
    }
    const claimable: PendingEntry[] = []
    for (const member of membersToSearch(members, view)) {
      let after: StreamId | undefined
      while (claimable.length < batchSize) {
        const page = await readPending(this.#commands, key, group, member, after, batchSize)
        claimable.push(...page.filter((entry) => mayClaim(entry, view)))
        if (page.length < batchSize) break
        after = page.at(-1)?.id
      }
    }
    return nextClaim(claimable, batchSize)
  }

  async #claim(lane: Lane, { entries: wanted, deliveries, alone }: Claim): Promise<Entry[]> {
    const { partition, group, events, logger } = this.#options
    const key = partition.keys[lane]
    // The smallest idle time seen: somebody else who claimed one of them in between has reset it.
    const idle = Math.min(...wanted.map((entry) => entry.idleMs))
    const ids = wanted.map((entry) => entry.id)
    const entries = parseEntries(
      await this.#commands.xclaim(key, group, this.#heartbeat.member, idle, ...ids),
    )
    const from = [...new Set(wanted.map((entry) => entry.consumer))]
    const { stream } = partition
    events?.tell('takenOver', { stream, group, lane, entries: entries.length })
    logger.info(
      { stream, group, lane, entries: entries.length, from, deliveries, alone },
      'took over entries',
    )
    if (entries.length < ids.length) await this.#dropDeleted(key, ids, entries)
    return entries
  }

  /** Acknowledges pending entries that no longer exist; before Redis 7, XCLAIM leaves them pending for ever. */
  async #dropDeleted(key: string, ids: readonly StreamId[], claimed: readonly Entry[]): Promise<void> {
    const found = new Set(claimed.map((entry) => entry.id))
    for (const id of ids.filter((wanted) => !found.has(wanted))) {
      const existing = await this.#commands.xrange(key, id, id)
      if (existing.length === 0) await this.#commands.xack(key, this.#options.group, id)
    }
  }

  async #forgetDead(
    lane: Lane,
    members: ReadonlyMap<string, number>,
    alive: ReadonlySet<string>,
  ): Promise<void> {
    const { partition, group } = this.#options
    for (const [name, pending] of members) {
      if (pending > 0 || alive.has(name) || name === this.#heartbeat.member) continue
      await this.#remove(partition.keys[lane], group, name)
    }
  }

  /** Returns false when the member holds entries, and therefore stays in the list. */
  async #remove(key: string, group: string, member: string): Promise<boolean> {
    return (await runScript(this.#commands, 'leave', [key], [group, member])) === 1
  }

  /** A stream or group that was deleted by hand is made again; anything else is thrown on. */
  async #repairGroup(error: unknown): Promise<void> {
    const code = replyCode(error)
    if (code !== 'NOGROUP' && code !== 'UNBLOCKED') throw error
    const { partition, group, events, logger } = this.#options
    await createGroup(this.#commands, partition, group)
    const place = { stream: partition.stream, partition: partition.number, group }
    events?.tell('groupRecreated', place)
    logger.error(
      place,
      'the consumer group was gone and is made again; changes may be missing in the index: run `redstream verify NAME --repair`',
    )
  }
}

/** Makes a consumer group on both lanes of a partition, from the first entry on; leaves an existing one alone. */
export async function createGroup(redis: RedisClient, partition: Partition, group: string): Promise<void> {
  for (const lane of lanes) {
    const key = partition.keys[lane]
    try {
      await redis.xgroup('CREATE', key, group, '0', 'MKSTREAM')
    } catch (error) {
      const code = replyCode(error)
      if (code === 'BUSYGROUP') continue
      // A Redis that is full refuses the command before it looks whether the group exists.
      if (code === 'OOM' && (await readGroups(redis, key)).some(({ name }) => name === group)) continue
      throw error
    }
  }
}
