import type { DataSource } from 'typeorm'

import { CascadeCapture } from '../cascade/captured.ts'
import { cascadeSources, type CascadeSource } from '../cascade/streams.ts'
import type { IndexDefinition } from '../indexed.ts'
import { ChangeMessages } from './change-messages.ts'
import type { CaptureMode } from './modes.ts'
import { capturedBy, captureModesOf } from './stream-modes.ts'
import { watchedTables, type WatchedTable } from './watched-table.ts'

/** What a witness is to watch, and what becomes of the changes that it tells of. */
export interface Watch {
  readonly tables: readonly WatchedTable[]
  readonly messages: ChangeMessages
}

/**
 * The tables behind the streams that some modes capture.
 *
 * @param byDefault - the setting `capture`
 * @param sources - what documents embed; the messages are for these very definitions
 */
export function watchedBy(
  modes: readonly CaptureMode[],
  dataSource: DataSource,
  indexes: readonly IndexDefinition[],
  byDefault: CaptureMode,
  sources: readonly CascadeSource[] = cascadeSources(indexes),
): Watch {
  const cascade = new CascadeCapture(sources)
  const captured = capturedBy(captureModesOf(indexes, sources, byDefault), modes)
  const messages = new ChangeMessages(dataSource, captured, cascade)
  return { messages, tables: watchedTables(messages, cascade) }
}
