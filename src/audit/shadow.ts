import type { EntityMetadata } from 'typeorm'

import type { CaptureMode } from '../capture/modes.ts'
import type { CaptureModes } from '../capture/stream-modes.ts'
import type { ChangeMessages } from '../capture/change-messages.ts'
import type { RowChange } from '../capture/changes.ts'
import type { SeenChange, SeenKind, Wanted } from './matcher.ts'

/** The sources that may follow in the shadow. */
export const shadowModes = ['trigger', 'wal'] as const satisfies readonly CaptureMode[]

/** A source that may follow in the shadow. */
export type ShadowMode = (typeof shadowModes)[number]

/** A committed change that the second source tells of. */
export interface ShadowChange {
  /** Undefined when a table was emptied and it is not known which rows it had. */
  readonly row: RowChange | undefined
  readonly metadata: EntityMetadata
  readonly kind: SeenKind
  /** False for an update of which it is not known whether it has changed a column that matters. */
  readonly isCertain: boolean
  /** The earliest moment at which it may have been committed, in ms of the database's clock. */
  readonly committedMs: number
}

export interface ShadowRead {
  readonly changes: readonly ShadowChange[]
  /** Everything that was committed before this moment is told, in ms of the database's clock. */
  readonly completeMs: number
  /** There is more: ask again at once. */
  readonly hasMore: boolean
}

/** A second source of changes, beside the one that is audited and without a part in it. */
export interface Shadow {
  /**
   * Everything that is committed after this resolves is told.
   *
   * @throws RedstreamError when the database or the rights do not allow it
   */
  open(): Promise<void>
  /** What was committed since the last call. */
  read(): Promise<ShadowRead>
  /** How far what it says about the time of a commit may be off, in ms. */
  readonly resolutionMs: number
  /** Removes what it has made in the database. */
  close(): Promise<void>
}

/**
 * What the audited sources should tell of a change: one for each of them that captures streams of its table.
 *
 * @param modes - of the streams that are audited
 */
export function wantedOf(messages: ChangeMessages, modes: CaptureModes, change: ShadowChange): SeenChange[] {
  const { row, metadata, kind, isCertain, committedMs } = change
  const bySource = new Map<SeenChange['capture'], Wanted[]>()
  for (const definition of messages.concerned(metadata)) {
    const mode = modes.get(definition)
    if (mode !== undefined && !bySource.has(mode)) bySource.set(mode, [])
  }
  for (const { definition, message } of row === undefined ? [] : messages.told([row])) {
    const mode = modes.get(definition)
    if (mode === undefined || message === undefined) continue
    bySource.get(mode)?.push({ stream: definition.stream, key: message.id })
  }
  const table = metadata.tablePath
  return [...bySource].flatMap(([capture, wanted]) =>
    // A row that concerns no stream is nobody's business; of a table that was emptied no row is known.
    row !== undefined && wanted.length === 0
      ? []
      : [{ table, kind, isCertain, capture, committedMs, wanted }],
  )
}
