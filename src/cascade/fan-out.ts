import { z } from 'zod'

import type { RowKey } from '../capture/row-key.ts'
import type { Partition } from '../streams/keys.ts'
import type { RedisClient } from '../streams/scripts.ts'
import type { StreamId } from '../streams/stream-id.ts'

/** How far a fan-out is. */
export interface Reached {
  /** The last owner that is queued; undefined before the first page. */
  readonly after: RowKey | undefined
  readonly done: boolean
}

const cursorSchema = z.object({
  entry: z.string(),
  after: z.string().optional(),
  done: z.boolean(),
})
// Longer than any fan-out takes from one page to the next; what a dead consumer left goes at last.
const forgetAfterSeconds = 86_400

/**
 * How far one fan-out is: a changed row with more owners than fit on a page. Kept in Redis, so that whoever takes its
 * entry over goes on where the dead one was.
 *
 * The cursor belongs to an entry of the stream, not only to the row: after a second change of the row, the owners
 * before the cursor of the first must be indexed once more.
 */
export class FanOut {
  readonly #redis: RedisClient
  readonly #key: string
  readonly #field: string
  readonly #entry: StreamId

  constructor(redis: RedisClient, { keys }: Partition, field: string, entry: StreamId) {
    this.#redis = redis
    this.#key = keys.fanOuts
    this.#field = field
    this.#entry = entry
  }

  async reached(): Promise<Reached> {
    const json = await this.#redis.hget(this.#key, this.#field)
    if (json === null) return { after: undefined, done: false }
    const { entry, after, done } = cursorSchema.parse(JSON.parse(json))
    return entry === this.#entry ? { after, done } : { after: undefined, done: false }
  }

  /** Call it when everything up to `after` is in the stream of the owners. */
  async reach(reached: Reached): Promise<void> {
    await this.#redis.hset(this.#key, this.#field, JSON.stringify({ entry: this.#entry, ...reached }))
    await this.#redis.expire(this.#key, forgetAfterSeconds)
  }

  /** Call it when nobody will ask any more: what else came with the entry is done too. */
  async forget(): Promise<void> {
    await this.#redis.hdel(this.#key, this.#field)
  }
}
