import type { Logger } from '../runtime/logger.ts'
import type { Batch } from '../streams/batch.ts'
import { bury, deadLetterOf, discardLetters, type DeadLetter } from '../streams/dead-letters.ts'
import type { RedisClient } from '../streams/scripts.ts'
import { streamIdMs } from '../streams/stream-id.ts'
import { takeTicket } from './ticket.ts'

export interface TrialOptions {
  readonly redis: RedisClient
  readonly deadLetterCap: number
  readonly logger: Logger
}

/** The type of the letter of a row that is on trial, or has failed it. */
export const killedType = 'consumer_killed'

/** So many processes may end while they try a row alone. */
const mostDeaths = 3

/**
 * Whether a row has ended so many processes, each while it was tried alone, that it is not tried any more. One that was
 * published after the last of them has been changed, or somebody asks for it: it may be mended.
 */
export function isCondemned(
  letter: Pick<DeadLetter, 'type' | 'attempts' | 'lastAt'> | undefined,
  publishedMs: number,
): boolean {
  if (letter?.type !== killedType || letter.attempts < mostDeaths) return false
  return publishedMs <= Date.parse(letter.lastAt)
}

/**
 * Finds the row that ends the process which indexes it (memory, an endless loop, a crash in native code): nobody can
 * catch that, so its dead letter is written BEFORE it is tried alone. When the process lives, the letter goes; when it
 * dies, the letter stays, and its attempts count the deaths.
 */
export class Trial {
  readonly #options: TrialOptions
  /** Row → ticket of its letter. The same ticket counts once, however often the letter is written with it. */
  readonly #open = new Map<string, string>()

  constructor(options: TrialOptions) {
    this.#options = options
  }

  /** Begins the trial of a batch that is alone; says what is to be done with its row. */
  async begin(batch: Batch): Promise<'try' | 'condemned' | 'no room'> {
    const { redis, deadLetterCap, logger } = this.#options
    const { partition } = batch
    batch.activity.begins('ticket')
    for (const id of batch.ids) {
      const open = this.#open.get(id)
      const letter = open === undefined ? await deadLetterOf(redis, partition, id) : undefined
      if (isCondemned(letter, streamIdMs(batch.entries.at(-1)!.id))) {
        const { stream } = partition
        const { type, reason } = letter!
        logger.error(
          { index: stream, id, type, reason },
          'this row cannot be indexed and is a dead letter now',
        )
        return 'condemned'
      }
      // The attempts of another failure are no deaths.
      if (letter !== undefined && letter.type !== killedType) await discardLetters(redis, partition, [id])
      const version = open ?? (await takeTicket(redis, partition)).version
      this.#open.set(id, version)
      const reason =
        'the process ended while it indexed this row and no other (memory, a crash, or killed from outside)'
      const refused = await bury(redis, partition, [{ id, type: killedType, reason }], version, deadLetterCap)
      if (refused.length > 0) {
        // What it waits for now.
        batch.activity.begins('bury')
        this.#open.delete(id)
        return 'no room'
      }
    }
    return 'try'
  }

  /** The process has survived: what it learned of the rows counts, and their letters are to be removed. */
  end(batch: Batch): void {
    for (const id of batch.ids) this.#open.delete(id)
  }
}
