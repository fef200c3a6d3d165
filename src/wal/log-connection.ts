import type { Socket } from 'node:net'

import type { Client, ClientConfig } from 'pg'
import type { LogicalReplicationService } from 'pg-logical-replication'
import type { DataSource } from 'typeorm'

import { LogPlugin, type LogMessage } from './log-plugin.ts'
import { formatLsn, laterLsn, parseLsn, type Lsn } from './lsn.ts'

/** Hears what the log tells. */
export interface LogListener {
  /** @throws what ends the connection */
  message(message: LogMessage): void
  /** Everything up to here was told. */
  keepAlive(position: Lsn): void
}

export interface LogConnectionOptions {
  readonly dataSource: DataSource
  readonly slot: string
  readonly publication: string
  readonly applicationName: string
  /** The connection is given up when the server has been silent for so long, in ms. */
  readonly silentMs: number
  readonly listener: LogListener
}

/**
 * A connection that reads the log from a replication slot: pg-logical-replication, with acknowledgements and
 * backpressure of our own. The library's acknowledgement names the byte after the position that it is given; see
 * {@link LogConnection.confirm}.
 */
export class LogConnection {
  /** Resolves when the connection is closed by {@link close}; rejects with why it ended otherwise. */
  readonly ended: Promise<void>
  readonly #service: LogicalReplicationService
  readonly #silentMs: number
  readonly #fail: (error: unknown) => void
  #socket: Socket | undefined
  #confirmed: Lsn = 0n
  #heardAt = performance.now()
  #closing = false

  private constructor(service: LogicalReplicationService, plugin: LogPlugin, options: LogConnectionOptions) {
    const { slot, silentMs, listener } = options
    this.#service = service
    this.#silentMs = silentMs
    const failed = Promise.withResolvers<never>()
    this.#fail = failed.reject
    const heard = (work: () => void): void => {
      this.#heardAt = performance.now()
      if (this.#closing) return
      try {
        work()
      } catch (error) {
        failed.reject(error)
      }
    }
    service.on('data', (_, message: LogMessage) => heard(() => listener.message(message)))
    service.on('heartbeat', (lsn, _, shouldRespond) => {
      heard(() => listener.keepAlive(parseLsn(lsn)))
      if (shouldRespond) this.#tell()
    })
    // It is told by `subscribe` too, unless the connection was never made.
    service.on('error', (error) => failed.reject(error))
    const subscribed = service.subscribe(plugin, slot).then(() => {
      if (!this.#closing) throw new Error('the server has ended the replication')
    })
    this.ended = Promise.race([subscribed, failed.promise])
    // Whoever awaits it later hears of it.
    this.ended.catch(() => undefined)
    subscribed.catch(() => undefined)
    failed.promise.catch(() => undefined)
  }

  /** Connects and begins to read where the slot's confirmed position is. */
  static async open(options: LogConnectionOptions): Promise<LogConnection> {
    // Only this mode needs it, and it brings a second way to talk to PostgreSQL.
    const { LogicalReplicationService, PgoutputPlugin } = await import('pg-logical-replication')
    const { publication, dataSource, applicationName } = options
    const service = new LogicalReplicationService(replicationConfig(dataSource, applicationName), {
      acknowledge: { auto: false, timeoutSeconds: 0 },
    })
    const parser = new PgoutputPlugin({ protoVersion: 2, publicationNames: [publication] })
    const plugin = new LogPlugin(parser, publication, (client) => (connection.#socket = socketOf(client)))
    const connection = new LogConnection(service, plugin, options)
    return connection
  }

  /** Tells the server that everything before `position` is done; it may forget the log before it. */
  confirm(position: Lsn): void {
    this.#confirmed = laterLsn(this.#confirmed, position)
    this.#tell()
  }

  /**
   * To be called every second: the server hears that this side lives, however long a publish takes, and is asked for an
   * answer. A server that is silent for too long is given up.
   */
  beat(): void {
    if (this.#socket?.isPaused() === true) this.#heardAt = performance.now()
    if (performance.now() - this.#heardAt > this.#silentMs)
      this.#fail(new Error(`the database has been silent for ${this.#silentMs} ms`))
    this.#tell(true)
  }

  /** Stops to read, so that the server waits. What is read already still comes. */
  pause(): void {
    this.#socket?.pause()
  }

  resume(): void {
    if (this.#socket?.isPaused() === true) this.#socket.resume()
  }

  async close(): Promise<void> {
    this.#closing = true
    this.resume()
    await this.#service.destroy()
  }

  #tell(ask = false): void {
    if (this.#service.isStop()) return
    // The library adds one. With the position of a commit's end that would pass over a transaction whose commit begins
    // right there, so it is given the byte before.
    const before = this.#confirmed === 0n ? 0n : this.#confirmed - 1n
    if (before > 0n || ask) void this.#service.acknowledge(formatLsn(before), ask)
  }
}

/** Connects as the DataSource does, except what would end a query that lasts for ever. */
function replicationConfig(dataSource: DataSource, applicationName: string): ClientConfig {
  const { master } = dataSource.driver as unknown as { master: { options: ClientConfig } }
  const { statement_timeout: _, query_timeout: __, ...options } = master.options
  return {
    ...options,
    // The pool hides it from those who print its options.
    ...(master.options.password === undefined ? {} : { password: master.options.password }),
    application_name: applicationName,
    keepAlive: true,
  }
}

function socketOf(client: Client): Socket {
  return (client as unknown as { connection: { stream: Socket } }).connection.stream
}
