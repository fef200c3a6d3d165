import type { CaptureMode } from '../capture/modes.ts'
import type { RowKey } from '../capture/row-key.ts'

/** What was done to a row. */
export type SeenKind = 'insert' | 'update' | 'delete' | 'truncate'

/** A message that would tell of a change. */
export interface Wanted {
  readonly stream: string
  readonly key: RowKey
}

/** A committed change of one row, as the shadow has seen it. */
export interface SeenChange {
  /** The table's path, as TypeORM has it. */
  readonly table: string
  readonly kind: SeenKind
  /** False for an update of which it is not known whether it has changed a column that matters. */
  readonly isCertain: boolean
  /** The source that is audited: it should tell of the change too. */
  readonly capture: CaptureMode
  /** The earliest moment at which it may have been committed, in ms of the database's clock. */
  readonly committedMs: number
  /**
   * The streams of that source, any of which tells. Several, when an entity has several indices, or its table several
   * classes: a row of one class has no message in the streams of the others.
   */
  readonly wanted: readonly Wanted[]
}

/** Hears what became of each change, once. */
export interface Judge {
  told(change: SeenChange): void
  missed(change: SeenChange): void
}

/**
 * Matches committed changes with messages. A message tells of every change of its row that was committed before it,
 * because whoever reads the message reads the row as it is then; a later change needs a later message. Either of the two
 * may be heard of first.
 *
 * Memory: changes that no message has told of yet, and per row the last message that is not older than what the shadow
 * may still tell of. No I/O, no clock.
 */
export class Matcher {
  readonly #judge: Judge
  readonly #open = new Map<string, Set<SeenChange>>()
  /** Per row, when its last message was written; the row that was heard of last is last. */
  readonly #heard = new Map<string, number>()
  #changes = 0

  constructor(judge: Judge) {
    this.#judge = judge
  }

  /** How many changes no message has told of yet. */
  get open(): number {
    return this.#changes
  }

  /** A change was committed. */
  seen(change: SeenChange): void {
    const isTold = change.wanted.some(
      (one) => (this.#heard.get(nameOf(one)) ?? -Infinity) >= change.committedMs,
    )
    if (isTold) {
      this.#judge.told(change)
      return
    }
    this.#changes += 1
    for (const one of change.wanted) {
      const ofRow = this.#open.get(nameOf(one))
      if (ofRow === undefined) this.#open.set(nameOf(one), new Set([change]))
      else ofRow.add(change)
    }
  }

  /**
   * A message was written.
   *
   * @param writtenMs - the latest moment at which that may have been, in ms of the database's clock
   */
  heard(message: Wanted, writtenMs: number): void {
    const name = nameOf(message)
    const latest = Math.max(writtenMs, this.#heard.get(name) ?? -Infinity)
    this.#heard.delete(name)
    this.#heard.set(name, latest)
    for (const change of this.#open.get(name) ?? []) {
      if (change.committedMs > writtenMs) continue
      this.#close(change)
      this.#judge.told(change)
    }
  }

  /** The shadow has told of everything that was committed before this moment: older messages are of no use any more. */
  forgetMessagesBefore(ms: number): void {
    for (const [name, writtenMs] of this.#heard) {
      // Those behind it may be older, if their stream was read later; their turn comes.
      if (writtenMs >= ms) return
      this.#heard.delete(name)
    }
  }

  /** The messages that would tell of changes committed before a moment. */
  *overdue(beforeMs: number): Generator<Wanted> {
    for (const change of this.#committedBefore(beforeMs)) yield* change.wanted
  }

  /**
   * Changes committed before a moment are missed, unless a message is on its way.
   *
   * @param isOnItsWay - whether a message for this change waits to be published
   */
  giveUp(beforeMs: number, isOnItsWay: (change: SeenChange) => boolean): void {
    for (const change of this.#committedBefore(beforeMs)) {
      if (isOnItsWay(change)) continue
      this.#close(change)
      this.#judge.missed(change)
    }
  }

  /** The changes that are neither told nor missed. */
  *undecided(): Generator<SeenChange> {
    yield* this.#committedBefore(Infinity)
  }

  *#committedBefore(ms: number): Generator<SeenChange> {
    for (const [name, changes] of this.#open) {
      for (const change of changes) {
        // Each once: under the first of its rows.
        if (change.committedMs < ms && nameOf(change.wanted[0]!) === name) yield change
      }
    }
  }

  #close(change: SeenChange): void {
    this.#changes -= 1
    for (const one of change.wanted) {
      const ofRow = this.#open.get(nameOf(one))
      ofRow?.delete(change)
      if (ofRow?.size === 0) this.#open.delete(nameOf(one))
    }
  }
}

/** Names of streams hold no white space. */
function nameOf({ stream, key }: Wanted): string {
  return `${stream} ${key}`
}
