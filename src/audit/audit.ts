import type { ChangeMessages } from '../capture/change-messages.ts'
import type { CaptureModes } from '../capture/stream-modes.ts'
import { isRedstreamError } from '../errors.ts'
import { Backoff, pause } from '../runtime/backoff.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Hearing } from './hearing.ts'
import type { Tally } from './report.ts'
import { wantedOf, type Shadow } from './shadow.ts'

/** How far an audit is. */
export interface AuditProgress {
  readonly changes: number
  readonly missed: number
  /** Milliseconds until it ends. */
  readonly leftMs: number
}

/** How long an audit looks. */
export interface AuditSpan {
  /** For how long the shadow follows, in ms. */
  readonly forMs: number
  /** How long after its commit a change may be told of, in ms. */
  readonly graceMs: number
  /** Ends it early, with what was seen until then. */
  readonly signal: AbortSignal
  /** Called about ten times a second. */
  readonly onProgress?: (progress: AuditProgress) => void
}

export interface AuditParts {
  readonly shadow: Shadow
  readonly hearing: Hearing
  readonly messages: ChangeMessages
  /** The streams that are audited. */
  readonly modes: CaptureModes
  readonly databaseNowMs: () => Promise<number>
  readonly tally: Tally
  readonly logger: Logger
}

/** What was audited, by the database's clock in ms. */
export interface Audited {
  readonly fromMs: number
  readonly toMs: number
  readonly complete: boolean
  readonly resolutionMs: number
}

const passMs = 100

/**
 * One audit: the second source follows in the shadow, every message of the audited streams is heard, and each change is
 * matched with its message.
 *
 * Owns no state outside the process, except for what {@link Shadow} and {@link Hearing} make.
 */
export class Audit {
  readonly #parts: AuditParts
  readonly #backoff = new Backoff()
  #completeMs = -Infinity
  #hasMore = false
  #seen = 0

  constructor(parts: AuditParts) {
    this.#parts = parts
  }

  /** @throws RedstreamError REDIS, REDIS_UNAVAILABLE or DATABASE */
  async run({ forMs, graceMs, signal, onProgress }: AuditSpan): Promise<Audited> {
    const { shadow, hearing, databaseNowMs } = this.#parts
    try {
      await hearing.begin()
      await shadow.open()
      const fromMs = await databaseNowMs()
      const endAt = performance.now() + forMs
      while (performance.now() < endAt && !signal.aborted) {
        await this.#follow()
        await this.#unlessAway(() => hearing.read(this.#completeMs), signal)
        const leftMs = Math.max(0, endAt - performance.now())
        onProgress?.(this.#progress(leftMs + graceMs))
        if (this.#isIdle) await pause(Math.min(passMs, leftMs), signal)
      }
      const complete = !signal.aborted
      const toMs = await databaseNowMs()
      // The signal is not asked from here on: it takes little longer than the grace, and a second one ends the process.
      while (this.#hasMore || this.#completeMs < toMs) {
        await this.#follow()
        await hearing.read(this.#completeMs)
        if (this.#isIdle) await pause(passMs)
      }
      await shadow.close()
      await this.#hearTheRest(toMs + graceMs, onProgress)
      const resolutionMs = Math.ceil(hearing.resolutionMs + shadow.resolutionMs)
      return { fromMs, toMs, complete, resolutionMs }
    } finally {
      await this.#tidyUp()
    }
  }

  #progress(leftMs: number): AuditProgress {
    return { changes: this.#seen, missed: this.#parts.tally.missedSoFar, leftMs: Math.max(0, leftMs) }
  }

  /** Nothing can be done at this moment. */
  get #isIdle(): boolean {
    return !this.#hasMore || this.#parts.hearing.isFull
  }

  /** Takes from the shadow what is new. */
  async #follow(): Promise<void> {
    const { shadow, hearing, messages, modes, tally } = this.#parts
    if (hearing.isFull) return
    const { changes, completeMs, hasMore } = await shadow.read()
    for (const change of changes) {
      for (const seen of wantedOf(messages, modes, change)) {
        this.#seen += 1
        if (seen.wanted.length > 0) hearing.seen(seen)
        // A table was emptied, and nobody knows of which rows: TypeORM tells nothing of it, triggers tell all.
        else if (seen.capture === 'trigger') tally.told(seen)
        else tally.missed(seen)
      }
    }
    this.#completeMs = completeMs
    this.#hasMore = hasMore
  }

  /** Waits for messages until the last change should have been told of. */
  async #hearTheRest(untilMs: number, onProgress: AuditSpan['onProgress']): Promise<void> {
    const { hearing, databaseNowMs, tally } = this.#parts
    for (;;) {
      const leftMs = untilMs - (await databaseNowMs())
      await hearing.read(this.#completeMs)
      if (hearing.open === 0 || leftMs < 0) break
      onProgress?.(this.#progress(leftMs))
      await pause(passMs)
    }
    for (const change of await hearing.end()) tally.waits(change)
  }

  /** A Redis that is away for a while is no reason to end: what is missed then is what one wants to know. */
  async #unlessAway(action: () => Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      await action()
      this.#backoff.reset()
    } catch (error) {
      if (!isRedstreamError(error) || error.code !== 'REDIS_UNAVAILABLE') throw error
      await this.#backoff.pause(signal)
    }
  }

  /** Whatever has failed before is what the caller shall hear of. */
  async #tidyUp(): Promise<void> {
    const { shadow, hearing, logger } = this.#parts
    for (const each of [shadow, hearing]) {
      await each
        .close()
        .catch((error: unknown) =>
          logger.warn(
            { err: error },
            'the audit could not remove what it has made; run `redstream audit --clean`',
          ),
        )
    }
  }
}
