import { EventEmitter } from 'node:events'

import type { Reception, Window } from '../indexing/pressure.ts'
import type { Lane } from '../streams/keys.ts'
import type { Logger } from './logger.ts'
import type { Step } from './progress.ts'
import type { WorkerKind } from './worker.ts'

/** What becomes of a document in one attempt. `retried` counts every attempt anew. */
export const documentOutcomes = ['applied', 'superseded', 'retried', 'dead'] as const

export type DocumentOutcome = (typeof documentOutcomes)[number]

/** The stages of a batch before its acknowledgement, in their order. */
export const indexStages = ['ticket', 'load', 'build', 'index'] as const

export type IndexStage = (typeof indexStages)[number]

interface OfGroup {
  readonly stream: string
  readonly group: string
  readonly lane: Lane
  readonly entries: number
}

/** Every event and what it tells. `stream` is the name of a stream, without prefix. */
export interface EventMap {
  /** Entries that no member had read were given to a consumer. */
  delivered: [OfGroup]
  /** Entries of a dead member were taken over. */
  takenOver: [OfGroup]
  /** Entries were acknowledged, in so many seconds. */
  settled: [OfGroup & { readonly seconds: number }]
  /** A batch was written to its index, or as much of it as could be: documents by outcome, and seconds by stage. */
  indexed: [
    {
      readonly stream: string
      /** One for each index that a row is written to: two while a reindex runs. */
      readonly documents: Readonly<Record<DocumentOutcome, number>>
      readonly seconds: Readonly<Record<IndexStage, number>>
    },
  ]
  /** Elasticsearch answered a bulk request, or did not, and may be sent so much from now on. */
  answered: [{ readonly stream: string; readonly reception: Reception; readonly window: Window }]
  /** A worker could not do what it was at; it tries again after a pause. */
  failed: [{ readonly kind: WorkerKind; readonly stream: string; readonly step: Step }]
  /** Delay messages that no publish removed were moved to the main lane. */
  requeued: [{ readonly stream: string; readonly messages: number }]
  /** Rows of the outbox were published and removed. */
  relayed: [{ readonly entries: number }]
  /** Rows of the outbox could not be read; they stay there, marked. */
  setAside: [{ readonly entries: number }]
  /** Entries that every group is done with were removed. */
  trimmed: [{ readonly stream: string; readonly entries: number }]
  /** The ticket counter was behind the versions in the index, and was raised above them. */
  counterRaised: [{ readonly stream: string; readonly partition: number }]
  /** A consumer group or its stream had been deleted, and was made again: changes may be missing in the index. */
  groupRecreated: [{ readonly stream: string; readonly partition: number; readonly group: string }]
  /** A consumer group of the user's that nobody served was dropped, and misses what waited for it. */
  groupDropped: [{ readonly stream: string; readonly partition: number; readonly group: string }]
  /** Rows found no room among the dead letters. */
  lettersRefused: [{ readonly stream: string; readonly partition: number; readonly rows: number }]
  /** The application put messages into a lane. */
  published: [{ readonly stream: string; readonly lane: Lane; readonly messages: number }]
  /** The application could not; what had a delay message is re-queued by the Delayer. */
  publishFailed: [
    {
      readonly stream: string
      readonly lane: Lane
      /** At least so many: a delay entry that could not be moved counts once, however many it holds. */
      readonly messages: number
      readonly error: unknown
    },
  ]
  /** The application wrote rows of an indexed entity without naming their ids. */
  uncaptured: [
    {
      readonly entity: string
      readonly index: string
      /** `insert`, `update`, `delete`, `soft delete` or `restore`. */
      readonly kind: string
    },
  ]
}

/**
 * What happens, for those who count it: Node's EventEmitter with types. Workers and the application's side only tell;
 * who listens, and whether anybody does, is not their business. A listener runs in the middle of their work, so it
 * should return at once.
 *
 * @example
 * ```ts
 * redstream.events.on('published', ({ stream, messages }) => published.inc({ stream }, messages))
 * ```
 */
export class Events extends EventEmitter<EventMap> {
  readonly #logger: Logger

  /** @internal */
  constructor(logger: Logger) {
    super()
    this.#logger = logger
  }

  /**
   * Emits, and never throws: a listener that fails must not fail a write or a batch.
   *
   * @internal
   */
  tell<Name extends keyof EventMap>(name: Name, ...facts: EventMap[Name]): void {
    try {
      // What `emit` asks for is the same, in a form that TypeScript cannot see through for a name of type parameter.
      const emit = this.emit.bind(this) as (name: keyof EventMap, ...facts: unknown[]) => boolean
      emit(name, ...facts)
    } catch (error) {
      this.#logger.error({ err: error, event: name }, 'a listener of this event failed; the work goes on')
    }
  }
}
