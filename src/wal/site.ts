import type { DataSource } from 'typeorm'

import { ChangeMessages } from '../capture/change-messages.ts'
import { capturedBy, captureModesOf } from '../capture/stream-modes.ts'
import { watchedTables, type WatchedTable } from '../capture/watched-table.ts'
import { CascadeCapture } from '../cascade/captured.ts'
import { RedstreamError } from '../errors.ts'
import type { StreamDefinition } from '../indexed.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Settings } from '../runtime/settings.ts'
import type { RedisClient } from '../streams/scripts.ts'
import { indexedSources, type IndexedSource, type Source } from '../sync/sources.ts'
import { LogNotes } from './log-notes.ts'
import { logNames, type LogNames } from './names.ts'

/** What the log of a database is followed for, and where what is known of it is. */
export interface LogSite {
  readonly dataSource: DataSource
  readonly redis: RedisClient
  readonly settings: Settings
  readonly logger: Logger
  readonly database: string
  readonly names: LogNames
  readonly notes: LogNotes
  /** The streams that are fed from the log. */
  readonly sources: readonly Source[]
  readonly messages: ChangeMessages
  readonly watched: readonly WatchedTable[]
  /** The indices whose documents depend on it. */
  readonly indexes: readonly IndexedSource[]
}

/** What a site is made of. */
type Common = Pick<LogSite, 'dataSource' | 'redis' | 'settings' | 'logger'>

/**
 * The log of a database, as far as the streams of some sources are captured by it; undefined when none is.
 *
 * @throws RedstreamError CONFIG when the database is no PostgreSQL
 */
export function logSiteOf(all: readonly Source[], common: Common): LogSite | undefined {
  const { dataSource, settings } = common
  const modes = captureModesOf(
    indexedSources(all).map(({ index }) => index),
    cascading(all),
    settings.capture,
  )
  const followed = new Set(capturedBy(modes, ['wal']))
  if (followed.size === 0) return undefined
  if (dataSource.options.type !== 'postgres') {
    throw new RedstreamError(
      'CONFIG',
      `capture "wal" follows the log of PostgreSQL, and the DataSource is of type "${dataSource.options.type}": choose ` +
        'capture "subscriber" or "outbox"',
    )
  }
  return siteOf(all, followed, common)
}

/**
 * The log of a database as a former configuration may have followed it, for any streams: what is left of that can be
 * removed. Undefined where there is no such log.
 */
export function formerLogSiteOf(all: readonly Source[], common: Common): LogSite | undefined {
  if (common.dataSource.options.type !== 'postgres') return undefined
  return siteOf(all, new Set(all.map(({ definition }) => definition)), common)
}

function siteOf(all: readonly Source[], followed: ReadonlySet<StreamDefinition>, common: Common): LogSite {
  const { dataSource, redis, settings } = common
  const indexed = indexedSources(all)
  const sources = all.filter(({ definition }) => followed.has(definition))
  const capture = new CascadeCapture(cascading(all))
  const messages = new ChangeMessages(dataSource, [...followed], capture)
  const owners = new Set(sources.flatMap(({ paths }) => paths.map(({ owner }) => owner)))
  const database = String(dataSource.driver.database)
  return {
    ...common,
    database,
    names: logNames(settings.captureSchema, database),
    notes: new LogNotes(redis, settings.namespace),
    sources,
    messages,
    watched: watchedTables(messages, capture),
    indexes: indexed.filter(({ index }) => followed.has(index) || owners.has(index)),
  }
}

function cascading(all: readonly Source[]): Source[] {
  return all.filter(({ paths }) => paths.length > 0)
}
