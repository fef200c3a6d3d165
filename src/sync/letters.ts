import { deadLetters, discardLetters, type DeadLetter, type LetterFilter } from '../streams/dead-letters.ts'
import type { RedisClient } from '../streams/scripts.ts'
import { StreamWriter } from '../streams/stream-writer.ts'
import { sourcesNamed, type Source } from './sources.ts'

/** Which dead letters of which streams. */
export interface LetterSelection extends LetterFilter {
  readonly streams?: readonly string[] | undefined
}

/** The dead letters of several streams. */
export class Letters {
  readonly #redis: RedisClient
  readonly #sources: readonly Source[]

  constructor(redis: RedisClient, sources: readonly Source[]) {
    this.#redis = redis
    this.#sources = sources
  }

  /** Those that fit, newest failure first. */
  async list(selection: LetterSelection): Promise<DeadLetter[]> {
    const letters: DeadLetter[] = []
    const partitions = sourcesNamed(this.#sources, selection.streams).flatMap((source) => source.partitions)
    for (const partition of partitions) {
      for await (const letter of deadLetters(this.#redis, partition, selection)) letters.push(letter)
    }
    return letters.toSorted((a, b) => b.lastAt.localeCompare(a.lastAt))
  }

  /** Queues their rows again, in the bulk lane. */
  async retry(letters: readonly DeadLetter[]): Promise<void> {
    for (const [{ partitions }, ids] of this.#byStream(letters)) {
      const messages = ids.map((id) => ({ id }))
      await new StreamWriter(this.#redis, partitions).publish(messages, 'bulk')
    }
  }

  /** Forgets them without indexing their rows; returns how many there were. */
  async discard(letters: readonly DeadLetter[]): Promise<number> {
    let discarded = 0
    for (const [{ partitions }, ids] of this.#byStream(letters)) {
      for (const partition of partitions) discarded += await discardLetters(this.#redis, partition, ids)
    }
    return discarded
  }

  #byStream(letters: readonly DeadLetter[]): [Source, string[]][] {
    return Array.from(
      Map.groupBy(letters, ({ stream }) => stream),
      ([stream, ofStream]) => [sourcesNamed(this.#sources, [stream])[0]!, ofStream.map(({ id }) => id)],
    )
  }
}
