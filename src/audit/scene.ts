import type { DataSource } from 'typeorm'

import { ChangeMessages } from '../capture/change-messages.ts'
import type { CaptureModes } from '../capture/stream-modes.ts'
import { watchedTables, type WatchedTable } from '../capture/watched-table.ts'
import { CascadeCapture } from '../cascade/captured.ts'
import type { CascadeSource } from '../cascade/streams.ts'
import { OutboxPart } from '../outbox/outbox-part.ts'
import { OutboxTable } from '../outbox/outbox-table.ts'
import { TableChanges } from '../outbox/table-changes.ts'
import { TriggersPart } from '../outbox/triggers/triggers-part.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Settings } from '../runtime/settings.ts'
import type { RedisConnections } from '../streams/connection.ts'
import type { Source } from '../sync/sources.ts'
import { LogShadow, removeLogShadow } from './log-shadow.ts'
import { AuditSession, auditSchemaOf } from './session.ts'
import type { Shadow, ShadowMode } from './shadow.ts'
import { removeAuditGroups } from './stream-watch.ts'
import { removeTriggerShadow, TriggerShadow } from './trigger-shadow.ts'

/** What is audited, and where. */
export interface AuditSite {
  readonly dataSource: DataSource
  readonly connections: RedisConnections
  readonly settings: Settings
  readonly sources: readonly Source[]
  readonly logger: Logger
}

/** What is made for an audit, in the database and in Redis, and removed after it. */
export class Scene {
  readonly messages: ChangeMessages
  /** The outbox of the sources that run. */
  readonly running: OutboxTable
  readonly #site: AuditSite
  readonly #schema: string
  /** The outbox of triggers in the shadow. */
  readonly #outbox: OutboxTable
  readonly #tables: readonly WatchedTable[]

  constructor(site: AuditSite, audited: CaptureModes) {
    const { dataSource, settings, sources } = site
    const cascade = new CascadeCapture(cascadeOf(sources))
    this.#site = site
    this.#schema = auditSchemaOf(settings.captureSchema)
    this.#outbox = new OutboxTable(dataSource, this.#schema)
    this.running = new OutboxTable(dataSource, settings.captureSchema)
    this.messages = new ChangeMessages(dataSource, [...audited.keys()], cascade)
    this.#tables = watchedTables(this.messages, cascade)
  }

  async onSession<T>(work: (session: AuditSession) => Promise<T>): Promise<T> {
    const session = await AuditSession.open(this.#site.dataSource, this.#schema)
    try {
      return await work(session)
    } finally {
      await session.close()
    }
  }

  async shadow(against: ShadowMode, session: AuditSession): Promise<Shadow> {
    const { dataSource, logger } = this.#site
    if (against === 'wal') return new LogShadow(dataSource, session, this.#tables, this.#schema, logger)
    const changes = new TableChanges(dataSource, this.#tables)
    await this.#outbox.onRunner((queryRunner) => changes.ready(queryRunner))
    return new TriggerShadow({
      session,
      outbox: this.#outbox,
      parts: this.#parts(),
      changesOf: (entry) => changes.changesOf(entry),
      lock: this.#schema,
    })
  }

  /** What an audit that was killed has left; returns what that was. */
  async removeLeftovers(session: AuditSession): Promise<string[]> {
    const { connections, dataSource, sources, logger } = this.#site
    const partitions = sources.flatMap((source) => source.partitions)
    try {
      const removed = (await removeAuditGroups(connections.commands, partitions)).map(
        (key) => `consumer group of ${key}`,
      )
      if (await removeLogShadow(dataSource, session, this.#schema))
        removed.push(`publication ${this.#schema}`)
      if (await removeTriggerShadow({ session, outbox: this.#outbox, parts: this.#parts() }))
        removed.push(`schema ${this.#schema}`)
      if (removed.length > 0)
        logger.info({ removed }, 'removed what an audit that was killed had left behind')
      return removed
    } catch (error) {
      throw connections.describe(error)
    }
  }

  #parts(): [OutboxPart, TriggersPart] {
    const { dataSource } = this.#site
    return [new OutboxPart(this.#outbox), new TriggersPart(dataSource, this.#schema, this.#tables)]
  }
}

/** The streams with what follows their rows. */
export function cascadeOf(sources: readonly Source[]): CascadeSource[] {
  return sources.filter(({ paths }) => paths.length > 0)
}
