import type { Logger } from '../runtime/logger.ts'
import type { Batch } from '../streams/batch.ts'
import { bury, deadLetterOf, discardLetters, type DeadLetter } from '../streams/dead-letters.ts'
import type { RedisClient } from '../streams/scripts.ts'
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

/** Whether a row has ended so many processes, each while it was tried alone, that it is not tried any more. */
export function isCondemned(letter: Pick<DeadLetter, 'type' | 'attempts'> | undefined): boolean {
  return letter?.type === killedType && letter.attempts >= mostDeaths
}

/**
 * Finds the row that ends the process which indexes it (memory, an endless loop, a crash in native code): nobody can
 * catch that, so its dead letter is written BEFORE it is tried alone. When the process lives, the letter goes; when it
 * dies, the letter stays, and its attempts count the deaths.
 */
export class Trial {
  readonly #options: TrialOptions
  /** Rows whose letter this process has written, so that being tried again here is no further death. */
  readonly #open = new Set<string>()

  constructor(options: TrialOptions) {
    this.#options = options
  }

  /** Begins the trial of a batch that is alone; says what is to be done with its row. */
  async begin(batch: Batch): Promise<'try' | 'condemned' | 'no room'> {
    const { redis, deadLetterCap, logger } = this.#options
    const { partition } = batch
    for (const id of batch.ids) {
      if (this.#open.has(id)) continue
      const letter = await deadLetterOf(redis, partition, id)
      if (isCondemned(letter)) {
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
      const { version } = await takeTicket(redis, partition)
      const reason =
        'the process ended while it indexed this row and no other (memory, a crash, or killed from outside)'
      const refused = await bury(redis, partition, [{ id, type: killedType, reason }], version, deadLetterCap)
      if (refused.length > 0) return 'no room'
      this.#open.add(id)
    }
    return 'try'
  }

  /** The process has survived: what it learned of the rows counts, and their letters are to be removed. */
  end(batch: Batch): void {
    for (const id of batch.ids) this.#open.delete(id)
  }
}
