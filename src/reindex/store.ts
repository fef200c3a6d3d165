import type { Lane, Partition } from '../streams/keys.ts'
import { reindexKeys, type ReindexKeys } from '../streams/keys.ts'
import { runScript, type RedisClient } from '../streams/scripts.ts'
import type { Slice } from './slices.ts'
import { markerOf, parseDriver, parseState, type Driver, type ReindexState } from './state.ts'
import { writeAliasOf } from '../indexing/index-names.ts'

/** The name of the consumer group of those who copy. */
export const copyGroup = 'copy'

/** How far a slice is. */
export interface SliceProgress {
  /** Key of the last row that is copied; undefined: none. */
  readonly cursor: string | undefined
  readonly done: boolean
}

/** Sums over all slices, and the slices that are begun and not done. */
export interface CopyProgress {
  readonly rows: number
  readonly bytes: number
  readonly done: number
  readonly open: readonly { readonly slice: number; readonly rows: number; readonly cursor: string }[]
}

// In the cursor's field; a key after it.
const at = '>'
const doneCursor = 'done'

/** What Redis knows of the reindex of one stream's index; every change is one script or one command. */
export class ReindexStore {
  readonly partitions: readonly Partition[]
  readonly #redis: RedisClient
  readonly #keys: ReindexKeys

  constructor(redis: RedisClient, partitions: readonly Partition[]) {
    this.partitions = partitions
    this.#redis = redis
    this.#keys = reindexKeys(partitions[0]!)
  }

  /** Redis' clock, in ms since 1970. */
  async now(): Promise<number> {
    const [seconds, micros] = await this.#redis.time()
    return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
  }

  /** The last reindex, over or not. */
  async read(): Promise<ReindexState | undefined> {
    const json = await this.#redis.hget(this.#keys.state, 'state')
    return json === null ? undefined : parseState(json)
  }

  /** Replaces a state by the next one; false when somebody else has done so before. */
  async replace(state: ReindexState | undefined, next: ReindexState): Promise<boolean> {
    const { state: key, news } = this.#keys
    const args = [state?.id ?? '', state?.phase ?? '', next.id, next.phase, JSON.stringify(next)]
    return (await runScript(this.#redis, 'reindex', [key, news], args)) === 1
  }

  /**
   * Takes or keeps the right to drive.
   *
   * @param forMs - how long it lasts without being kept; 0 gives it back
   * @returns who has it instead
   */
  async drive(driver: Driver, forMs: number): Promise<Driver | undefined> {
    const reply = await runScript(
      this.#redis,
      'drive',
      [this.#keys.driver],
      [driver.member, JSON.stringify(driver), forMs],
    )
    return reply === '' ? undefined : parseDriver(String(reply))
  }

  async driver(): Promise<Driver | undefined> {
    const json = await this.#redis.get(this.#keys.driver)
    return json === null ? undefined : parseDriver(json)
  }

  /** Milliseconds until the driver's right expires. */
  leaseLeftMs(): Promise<number> {
    return this.#redis.pttl(this.#keys.driver)
  }

  /** Lets live changes go to both indices, in every partition. */
  async register({ id, from, to }: ReindexState): Promise<void> {
    // Both: a list that Redis has lost would otherwise be without the index that is searched.
    const members = [writeAliasOf(from), writeAliasOf(to), markerOf(id)]
    for (const { keys } of this.partitions) await this.#redis.sadd(keys.targets, ...members)
  }

  /** Whether every live change has gone to both indices since `register`. */
  async isRegistered({ id }: ReindexState): Promise<boolean> {
    const found = await Promise.all(
      this.partitions.map(({ keys }) => this.#redis.sismember(keys.targets, markerOf(id))),
    )
    return found.every((one) => one === 1)
  }

  /** Live changes no longer go to an index of the reindex. */
  async unregister({ id }: ReindexState, physical: string): Promise<void> {
    for (const { keys } of this.partitions) {
      await this.#redis.srem(keys.targets, writeAliasOf(physical), markerOf(id))
    }
  }

  /** Puts the slices up for whoever copies; what was there before is gone. */
  async publishSlices({ id }: ReindexState, slices: readonly Slice[]): Promise<void> {
    const { slices: stream, progress, pace } = this.#keys
    await this.#redis.xtrim(stream, 'MAXLEN', 0)
    await this.#redis.del(progress, pace)
    await this.#redis.hset(progress, { id, rows: 0, bytes: 0, done: 0 })
    const pages = Math.ceil(slices.length / 500)
    for (let page = 0; page < pages; page++) {
      const pipeline = this.#redis.pipeline()
      for (const slice of slices.slice(page * 500, (page + 1) * 500)) {
        pipeline.xadd(stream, '*', 'id', String(slice.number), 'payload', JSON.stringify({ ...slice, id }))
      }
      for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error
    }
  }

  /** The stream of slices as a partition that a Consumer reads. */
  slicesPartition(): Partition {
    const [first] = this.partitions
    const lanes: Record<Lane, string> = { main: this.#keys.slices, bulk: this.#keys.sideLane }
    return { ...first!, keys: { ...first!.keys, ...lanes } }
  }

  /** How far a slice is; undefined when its reindex is not the one that is under way. */
  async sliceProgress(id: string, slice: number): Promise<SliceProgress | undefined> {
    const [current, cursor] = await this.#redis.hmget(this.#keys.progress, 'id', `cursor:${slice}`)
    if (current !== id) return undefined
    if (cursor === doneCursor) return { cursor: undefined, done: true }
    return { cursor: cursor?.slice(at.length), done: false }
  }

  /** Notes a page of a slice; false when somebody else has gone on with it. */
  async copied(
    id: string,
    slice: number,
    page: { after: string | undefined; last: string | undefined; rows: number; bytes: number },
  ): Promise<boolean> {
    const { progress, news } = this.#keys
    const before = page.after === undefined ? '' : at + page.after
    const cursor = page.last === undefined ? doneCursor : at + page.last
    const done = page.last === undefined ? 1 : 0
    const args = [id, slice, before, cursor, done, page.rows, page.bytes]
    return (await runScript(this.#redis, 'copied', [progress, news], args)) === 1
  }

  async progress(id: string): Promise<CopyProgress> {
    const fields = await this.#redis.hgetall(this.#keys.progress)
    if (fields['id'] !== id) return { rows: 0, bytes: 0, done: 0, open: [] }
    const open = Object.entries(fields).flatMap(([field, value]) => {
      if (!field.startsWith('cursor:') || value === doneCursor) return []
      const slice = Number(field.slice('cursor:'.length))
      return [{ slice, rows: Number(fields[`rows:${slice}`] ?? 0), cursor: value.slice(at.length) }]
    })
    return {
      rows: Number(fields['rows'] ?? 0),
      bytes: Number(fields['bytes'] ?? 0),
      done: Number(fields['done'] ?? 0),
      open: open.toSorted((a, b) => a.slice - b.slice),
    }
  }

  /** How many slices are copied. */
  async slicesDone(id: string): Promise<number> {
    const [current, done] = await this.#redis.hmget(this.#keys.progress, 'id', 'done')
    return current === id ? Number(done) : 0
  }

  /** Reserves time for rows at a rate; returns the ms to wait before they are read. */
  async reserve(rows: number, rate: number): Promise<number> {
    const micros = Math.round((rows / rate) * 1_000_000)
    return Number(await runScript(this.#redis, 'pace', [this.#keys.pace], [micros]))
  }

  /** Lets rows be copied at once, whatever was reserved at another rate. */
  async forgetReservations(): Promise<void> {
    await this.#redis.del(this.#keys.pace)
  }

  /** Waits until the state or the progress changes, or for at most `ms`; `reader` is a connection for blocking reads. */
  async news(reader: RedisClient, ms: number): Promise<void> {
    await reader.xread('BLOCK', ms, 'STREAMS', this.#keys.news, '$')
  }

  /** Forgets what only the copy needed. */
  async forgetCopy(): Promise<void> {
    const { slices, progress, pace } = this.#keys
    // The stream itself stays, empty: a group that vanished would alarm whoever still reads.
    await this.#redis.xtrim(slices, 'MAXLEN', 0)
    await this.#redis.del(progress, pace)
  }
}
