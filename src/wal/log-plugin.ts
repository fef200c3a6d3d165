import type { Client } from 'pg'
import type { Pgoutput, PgoutputPlugin } from 'pg-logical-replication'

import { parseLsn, type Lsn } from './lsn.ts'

/** A row that was changed, a table that was truncated, or what a table looks like. */
export type Change =
  | Pgoutput.MessageRelation
  | Pgoutput.MessageInsert
  | Pgoutput.MessageUpdate
  | Pgoutput.MessageDelete
  | Pgoutput.MessageTruncate

/**
 * What the log tells, as the Follower reads it. A transaction comes between `begin` and `commit`, after its commit. One
 * that outgrows the server's `logical_decoding_work_mem` comes before that, in blocks between those of others.
 */
export type LogMessage =
  | { readonly kind: 'begin'; readonly xid: number }
  | { readonly kind: 'commit'; readonly end: Lsn }
  /** `xid` within a block only: that of the savepoint, or of the transaction itself. */
  | { readonly kind: 'change'; readonly change: Change; readonly xid?: number }
  | { readonly kind: 'block'; readonly xid: number }
  | { readonly kind: 'block end' }
  | { readonly kind: 'block commit'; readonly xid: number; readonly end: Lsn }
  /** The transaction `xid` is rolled back, or only its savepoint `savepoint` when that is another number. */
  | { readonly kind: 'block abort'; readonly xid: number; readonly savepoint: number }
  /** Nothing that concerns rows. */
  | { readonly kind: 'other' }
  /** The bytes cannot be read: an error of a parser in the middle of the socket's events would end the process. */
  | { readonly kind: 'broken'; readonly error: unknown }

// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
const streamStart = 'S'.charCodeAt(0)
const streamStop = 'E'.charCodeAt(0)
const streamCommit = 'c'.charCodeAt(0)
const streamAbort = 'A'.charCodeAt(0)
/** Messages that begin with the transaction's number when they are in a block. */
const numbered = new Set(Array.from('RYIUDTM', (tag) => tag.charCodeAt(0)))

/**
 * Plugin of pg-logical-replication for PostgreSQL's `pgoutput` with transactions that are streamed before their commit
 * (protocol version 2, PostgreSQL 14). The library's own knows no streams; its parser reads the messages within.
 */
export class LogPlugin {
  readonly name = 'pgoutput'
  readonly options: { readonly publication: string }
  readonly #parser: PgoutputPlugin
  readonly #onStart: (client: Client) => void
  #inBlock = false

  /**
   * @param parser - the library's plugin, for what has nothing to do with streams
   * @param onStart - is told the connection
   */
  constructor(
    parser: PgoutputPlugin,
    publication: string,
    onStart: (client: Client) => void = () => undefined,
  ) {
    this.options = { publication }
    this.#parser = parser
    this.#onStart = onStart
  }

  /** Begins to read; resolves when the server ends it. Called by the library. */
  start(client: Client, slot: string, from: string): Promise<unknown> {
    this.#onStart(client)
    const options = `proto_version '2', publication_names '"${this.options.publication}"', streaming 'on'`
    return client.query(`START_REPLICATION SLOT "${slot}" LOGICAL ${from} (${options})`)
  }

  /** Reads one message. Never throws. Called by the library. */
  parse(bytes: Buffer): LogMessage {
    try {
      return this.#read(bytes)
    } catch (error) {
      return { kind: 'broken', error }
    }
  }

  #read(bytes: Buffer): LogMessage {
    const tag = bytes.readUInt8(0)
    switch (tag) {
      case streamStart:
        this.#inBlock = true
        return { kind: 'block', xid: bytes.readUInt32BE(1) }
      case streamStop:
        this.#inBlock = false
        return { kind: 'block end' }
      case streamCommit:
        // The number, a byte of flags, the position of the commit, that of its end.
        return { kind: 'block commit', xid: bytes.readUInt32BE(1), end: bytes.readBigUInt64BE(14) }
      case streamAbort:
        return { kind: 'block abort', xid: bytes.readUInt32BE(1), savepoint: bytes.readUInt32BE(5) }
    }
    if (!this.#inBlock || !numbered.has(tag)) return messageOf(this.#parser.parse(bytes))
    const plain = Buffer.from(bytes.subarray(4))
    plain.writeUInt8(tag, 0)
    const message = messageOf(this.#parser.parse(plain))
    return message.kind === 'change' ? { ...message, xid: bytes.readUInt32BE(1) } : message
  }
}

function messageOf(message: Pgoutput.Message): LogMessage {
  switch (message.tag) {
    case 'begin':
      return { kind: 'begin', xid: message.xid >>> 0 }
    case 'commit':
      return { kind: 'commit', end: parseLsn(message.commitEndLsn ?? '0/0') }
    case 'origin':
    case 'type':
    case 'message':
      return { kind: 'other' }
    default:
      return { kind: 'change', change: message }
  }
}
