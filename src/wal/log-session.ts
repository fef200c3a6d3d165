import type { Client } from '@elastic/elasticsearch'

import type { Writers } from '../capture/transaction-capture.ts'
import { RedstreamError } from '../errors.ts'
import type { Events } from '../runtime/events.ts'
import type { Activity } from '../runtime/progress.ts'
import type { StreamDefinition } from '../indexed.ts'
import { checkTables } from './check-tables.ts'
import { LogConnection } from './log-connection.ts'
import { LogPublisher, PublishStopped } from './log-publisher.ts'
import { LogReader, type LogReaderOptions } from './log-reader.ts'
import { LogTables } from './log-tables.ts'
import type { LogSite } from './site.ts'

export interface LogSessionOptions {
  readonly site: LogSite
  readonly client: Client
  /** Of all streams: a TRUNCATE concerns owners that are captured otherwise, too. */
  readonly writers: Writers
  readonly events: Events
  readonly activity: Activity
  readonly applicationName: string
  /** For tests: called when a batch is in Redis, and before the server is told. */
  readonly checkpoint?: (() => Promise<void>) | undefined
}

const beatEveryMs = 1_000
/** While it decodes a large transaction of other tables, a server is silent for some half of its wal_sender_timeout (60 s). */
const silentMs = 120_000

/**
 * Reads the log over one connection until it ends, or `signal` aborts.
 *
 * While a batch is published, the next one fills, so that many small transactions are published together when they come
 * faster than Redis answers, and one by one when they do not. When the next one is full, the server waits.
 *
 * @param onReading - called when the first batch is published
 * @throws RedstreamError DATABASE when the log does not tell what is needed; what ends the connection
 */
export async function followLog(
  options: LogSessionOptions,
  signal: AbortSignal,
  onReading: () => void,
): Promise<void> {
  const { site, activity, applicationName } = options
  const { dataSource, names, messages, sources, watched } = site
  const tables = await checkTables(site)
  const reader = new LogReader({
    messages,
    tables: new LogTables(tables),
    definitions: sources.map(({ definition }) => definition),
    watched,
    onUnreadable: tellingUnreadable(site),
  })
  const ready = new Bell()
  const connection = await LogConnection.open({
    dataSource,
    ...names,
    applicationName,
    silentMs,
    listener: {
      message: (message) => {
        reader.read(message)
        if (reader.isFull) connection.pause()
        ready.ring()
      },
      keepAlive: (position) => {
        reader.keepAlive(position)
        ready.ring()
      },
    },
  })
  const over = new AbortController()
  const stop = AbortSignal.any([signal, over.signal])
  const ring = (): void => ready.ring()
  signal.addEventListener('abort', ring)
  const beats = setInterval(() => {
    connection.beat()
    if (!activity.isPausing && activity.currentStep === 'follow') activity.advanced()
  }, beatEveryMs)
  const publishing = publishBatches(options, reader, connection, ready, stop, onReading)
  try {
    await Promise.race([connection.ended, publishing])
  } finally {
    over.abort()
    ready.ring()
    signal.removeEventListener('abort', ring)
    clearInterval(beats)
    await publishing.catch(() => undefined)
    await connection.close()
    reader.end()
  }
}

async function publishBatches(
  options: LogSessionOptions,
  reader: LogReader,
  connection: LogConnection,
  ready: Bell,
  signal: AbortSignal,
  onReading: () => void,
): Promise<void> {
  const { site, activity, checkpoint } = options
  const publisher = new LogPublisher({ ...options, ...site })
  await ready.rung(signal)
  await checkIsAsynchronous(site, options.applicationName)
  while (!signal.aborted) {
    const batch = reader.take()
    if (batch === undefined) {
      await ready.rung(signal)
      // What has come in the same piece goes into the same batch.
      await new Promise((resolve) => setImmediate(resolve))
      continue
    }
    connection.resume()
    try {
      await publisher.publish(batch, signal)
    } catch (error) {
      if (error instanceof PublishStopped) return
      throw error
    }
    await checkpoint?.()
    if (batch.position !== undefined) connection.confirm(batch.position)
    activity.begins('follow')
    activity.advanced()
    onReading()
  }
}

/** Wakes the one who waits; a ring that nobody waits for wakes the next. */
class Bell {
  #isRung = false
  #wake: (() => void) | undefined

  ring(): void {
    this.#isRung = true
    this.#wake?.()
  }

  async rung(signal: AbortSignal): Promise<void> {
    if (!this.#isRung && !signal.aborted) await new Promise<void>((resolve) => (this.#wake = resolve))
    this.#wake = undefined
    this.#isRung = false
  }
}

/**
 * A commit that waits for this reader would wait for ever, because this reader waits for the commit.
 *
 * @throws RedstreamError DATABASE when the server takes it for a synchronous standby
 */
async function checkIsAsynchronous({ dataSource }: LogSite, applicationName: string): Promise<void> {
  const rows = await dataSource.query<{ state: string | null }[]>(
    'SELECT sync_state AS state FROM pg_stat_replication WHERE application_name = $1',
    [applicationName],
  )
  if (rows.every(({ state }) => state === null || state === 'async')) return
  throw new RedstreamError(
    'DATABASE',
    'the server takes the Follower for a synchronous standby, so commits would wait for it: name the standbys in ' +
      'synchronous_standby_names, in place of *',
  )
}

/** Tells once of each stream that the log names rows without their keys, and that its indices must be verified. */
function tellingUnreadable({ notes, indexes, logger }: LogSite): LogReaderOptions['onUnreadable'] {
  const told = new Set<StreamDefinition>()
  return (definition, { metadata }) => {
    if (told.has(definition)) return
    told.add(definition)
    const key = metadata.primaryColumns.map(({ databaseName }) => databaseName)
    logger.error(
      { stream: definition.stream, table: metadata.tablePath, key },
      'the log names rows of this table without their key: its columns have other names than the entity; verify its indices when both agree',
    )
    const reason = `rows of ${metadata.tablePath} were told without their key`
    void notes
      .demand(
        indexes.map(({ index }) => index.name),
        reason,
      )
      .catch((error: unknown) =>
        logger.error({ err: error }, 'Redis could not be told to have indices verified'),
      )
  }
}
