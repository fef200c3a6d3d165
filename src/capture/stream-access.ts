import type { StreamDefinition } from '../indexed.ts'
import type { RedisConnections } from '../streams/connection.ts'
import type { StreamWriter } from '../streams/stream-writer.ts'
import type { Writers } from './transaction-capture.ts'

/** Redis as the application has it: connected when somebody asks for it, which with the outbox may be never. */
export class StreamAccess {
  readonly #open: () => RedisConnections
  readonly #writersOn: (connections: RedisConnections) => Writers
  #connections: RedisConnections | undefined
  #writers: Writers | undefined

  /**
   * @param open - connects; throws RedstreamError CONFIG when it is not known where Redis is
   * @param writersOn - makes the writer of each stream
   */
  constructor(open: () => RedisConnections, writersOn: (connections: RedisConnections) => Writers) {
    this.#open = open
    this.#writersOn = writersOn
  }

  get connections(): RedisConnections {
    this.#connections ??= this.#open()
    return this.#connections
  }

  get writers(): Writers {
    this.#writers ??= this.#writersOn(this.connections)
    return this.#writers
  }

  writerOf(definition: StreamDefinition): StreamWriter {
    return this.writers.get(definition)!
  }

  async close(): Promise<void> {
    await this.#connections?.close()
  }
}
