import { z } from 'zod'

import { redisNowMs } from '../streams/clock.ts'
import { logKey } from '../streams/keys.ts'
import { runScript, type RedisClient } from '../streams/scripts.ts'

/** Why an index must be verified: changes of its rows may have been lost with a slot. */
export interface VerifyDue {
  /** Since when, ms since 1970 by Redis' clock. */
  readonly at: number
  readonly reason: string
  /** Since when the log is followed again; a verification that begins later mends everything. Undefined: not yet. */
  readonly slotAt?: number | undefined
}

/**
 * How far the reader of the slot is behind in time, told by two positions: at `at` the log ended at `lsn`, and everything
 * up to where it ended at `reachedAt` is read.
 */
export interface Mark {
  readonly lsn: string
  readonly at: number
  readonly reachedAt: number
}

/** What Redis knows of the slot. */
export interface KnownSlot {
  readonly name: string
  /** Up to where it was read at the last look. */
  readonly confirmed: string
}

/** Everything that is noted. */
export interface Notes {
  readonly slot: KnownSlot | undefined
  readonly mark: Mark | undefined
  /** By index. */
  readonly verify: ReadonlyMap<string, VerifyDue>
}

const slotSchema = z.object({ name: z.string(), confirmed: z.string() })
const markSchema = z.object({ lsn: z.string(), at: z.number(), reachedAt: z.number() })
const dueSchema = z.object({ at: z.number(), reason: z.string(), slotAt: z.number().optional() })

const ofIndex = 'verify:'

/** What is noted in Redis of the log that is followed, so that it outlives slot and process. */
export class LogNotes {
  readonly #redis: RedisClient
  readonly #key: string

  constructor(redis: RedisClient, namespace: string) {
    this.#redis = redis
    this.#key = logKey(namespace)
  }

  /** Redis' clock, in ms since 1970. */
  now(): Promise<number> {
    return redisNowMs(this.#redis, this.#key)
  }

  async read(): Promise<Notes> {
    const all = await this.#redis.hgetall(this.#key)
    const parsed = <T>(schema: z.ZodType<T>, json: string | undefined): T | undefined =>
      json === undefined ? undefined : schema.parse(JSON.parse(json))
    return {
      slot: parsed(slotSchema, all['slot']),
      mark: parsed(markSchema, all['mark']),
      verify: new Map(
        Object.entries(all)
          .filter(([field]) => field.startsWith(ofIndex))
          .map(([field, json]) => [field.slice(ofIndex.length), dueSchema.parse(JSON.parse(json))]),
      ),
    }
  }

  async noteSlot(slot: KnownSlot, mark: Mark): Promise<void> {
    await this.#redis.hset(this.#key, 'slot', JSON.stringify(slot), 'mark', JSON.stringify(mark))
  }

  /** These indices must be verified. One that must be already, and has no slot since then, keeps its first reason. */
  async demand(indexes: readonly string[], reason: string): Promise<void> {
    const { verify } = await this.read()
    const at = Math.floor(await this.now())
    for (const index of indexes) {
      const known = verify.get(index)
      if (known === undefined || known.slotAt !== undefined) await this.#replace(index, known, { at, reason })
    }
  }

  /** The log tells all changes of these indices again: what is verified from now on is right. */
  async resume(indexes: readonly string[]): Promise<void> {
    const { verify } = await this.read()
    const slotAt = Math.floor(await this.now())
    for (const index of indexes) {
      const due = verify.get(index)
      if (due !== undefined && due.slotAt === undefined) await this.#replace(index, due, { ...due, slotAt })
    }
  }

  /** The index was verified, or made anew; a demand that has come meanwhile stays. */
  async settle(index: string, due: VerifyDue): Promise<boolean> {
    return this.#replace(index, due, undefined)
  }

  /** Forgets everything. */
  async forget(): Promise<void> {
    await this.#redis.del(this.#key)
  }

  async #replace(
    index: string,
    before: VerifyDue | undefined,
    after: VerifyDue | undefined,
  ): Promise<boolean> {
    const text = (due: VerifyDue | undefined): string => (due === undefined ? '' : textOf(due))
    const args = [`${ofIndex}${index}`, text(before), text(after)]
    return (await runScript(this.#redis, 'note', [this.#key], args)) === 1
  }
}

/** Always the same text for the same demand: it is compared. */
function textOf({ at, reason, slotAt }: VerifyDue): string {
  return JSON.stringify({ at, reason, slotAt })
}
