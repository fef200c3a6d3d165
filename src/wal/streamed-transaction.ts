import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'

import type { Message } from '../streams/message.ts'

/** Messages of one stream, all of one savepoint. */
export interface StreamedPage {
  /** Which of the follower's streams, by its place in their list. */
  readonly stream: number
  readonly messages: readonly Message[]
}

/** So much of a transaction is in memory, in characters; what is more goes to a file. */
const mostInMemory = 1_000_000
const messagesPerPage = 500

/**
 * A transaction that the server tells of before its commit, because it has outgrown the server's memory. It is kept
 * until it ends: the first million characters in memory, the rest in a file of the folder for temporary files.
 *
 * The file is removed when the transaction ends. A process that is killed leaves it, and nothing needs it any more: the
 * slot sends the transaction again.
 */
export class StreamedTransaction {
  readonly xid: number
  /** Tables that it truncates, by their place in the follower's list. */
  readonly truncated = new Set<number>()
  readonly #undone = new Set<number>()
  #savepoint: number | undefined
  /** Of this savepoint, by stream. */
  readonly #open = new Map<number, Message[]>()
  #lines: string[] = []
  #size = 0
  #folder: string | undefined
  #file: number | undefined

  constructor(xid: number) {
    this.xid = xid
  }

  /**
   * Notes a change.
   *
   * @param savepoint - the number of its savepoint, or that of the transaction
   */
  add(savepoint: number, stream: number, message: Message): void {
    if (this.#savepoint !== savepoint) this.#finishPages()
    this.#savepoint = savepoint
    const messages = this.#open.get(stream)
    if (messages === undefined) this.#open.set(stream, [message])
    else if (messages.push(message) >= messagesPerPage) this.#finishPages()
  }

  /** What a savepoint changed is rolled back. */
  undo(savepoint: number): void {
    this.#undone.add(savepoint)
  }

  /** What it has changed; may be read again. */
  async *pages(): AsyncGenerator<StreamedPage> {
    this.#finishPages()
    if (this.#folder !== undefined) {
      const file = await open(fileIn(this.#folder))
      try {
        for await (const line of file.readLines()) yield* this.#readLine(line)
      } finally {
        // Who stops in the middle leaves it open.
        await file.close()
      }
    }
    for (const line of this.#lines) yield* this.#readLine(line)
  }

  /** Forgets it. */
  end(): void {
    this.#lines = []
    if (this.#file !== undefined) closeSync(this.#file)
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true })
    this.#file = this.#folder = undefined
  }

  *#readLine(line: string): Generator<StreamedPage> {
    const [savepoint, stream, messages] = JSON.parse(line) as [number, number, Message[]]
    if (!this.#undone.has(savepoint)) yield { stream, messages }
  }

  #finishPages(): void {
    for (const [stream, messages] of this.#open) {
      const line = JSON.stringify([this.#savepoint, stream, messages])
      this.#lines.push(line)
      this.#size += line.length
    }
    this.#open.clear()
    if (this.#size > mostInMemory) this.#spill()
  }

  // Synchronous: the pages must stay in order, and a megabyte takes about a millisecond.
  #spill(): void {
    this.#folder ??= mkdtempSync(path.join(tmpdir(), 'redstream-'))
    this.#file ??= openSync(fileIn(this.#folder), 'a', 0o600)
    writeSync(this.#file, this.#lines.map((line) => `${line}\n`).join(''))
    this.#lines = []
    this.#size = 0
  }
}

function fileIn(folder: string): string {
  return path.join(folder, 'transaction.jsonl')
}
