import type { EventEmitter } from 'node:events'

import type { DataSource, QueryRunner } from 'typeorm'

import { poolSizeOf } from '../capture/pool-size.ts'
import { pause } from '../runtime/backoff.ts'
import type { Logger } from '../runtime/logger.ts'
import type { OutboxTable } from './outbox-table.ts'
import { fallAsleep, getUp } from './ring.ts'

/** What is used of a connection of the package pg. */
type Connection = Pick<EventEmitter, 'on' | 'off'>

const firstPauseMs = 10

/** Longest pause of those who listen but may not sleep: somebody who did not ring is about to commit. */
const longestAwakeMs = 50

/**
 * Says when it is worth to look into the outbox again. On PostgreSQL it sleeps until those who write into it ring, once
 * nothing was found; elsewhere, while that connection is away, and where the pool has no second connection, pauses grow
 * from 10 ms to the longest one.
 *
 * State: one connection of the DataSource's pool, while it listens, and on it a lock, while it sleeps ({@link fallAsleep}).
 * When it is lost, both are gone, and `ready` makes them anew.
 */
export class Doorbell {
  readonly #dataSource: DataSource
  readonly #channel: string | undefined
  readonly #longestMs: number
  readonly #logger: Logger
  #listening: { readonly queryRunner: QueryRunner; readonly stop: () => void } | undefined
  /** True from before the last look on. */
  #asleep = false
  #wake = new AbortController()
  #pauseMs = firstPauseMs

  /** @param longestMs - longest pause between two looks */
  constructor(table: OutboxTable, longestMs: number, logger: Logger) {
    this.#dataSource = table.dataSource
    this.#longestMs = longestMs
    this.#logger = logger
    if (table.dialect !== 'postgres') return
    if (poolSizeOf(table.dataSource) !== 1) this.#channel = table.channel
    else {
      logger.info(
        { relayPoll: longestMs },
        'the pool of the DataSource has one connection, so the relay looks into the outbox now and then instead of listening; a change arrives up to `relayPoll` later (poolSize: 2 or more)',
      )
    }
  }

  /** Call it before a look: who rings after it, wakes the wait that follows. */
  async ready(foundSome: boolean): Promise<void> {
    this.#wake = new AbortController()
    this.#pauseMs = foundSome ? firstPauseMs : Math.min(this.#pauseMs * 2, this.#longestMs)
    if (this.#channel === undefined) return
    if (this.#listening === undefined) await this.#listen(this.#channel)
    if (this.#listening !== undefined && this.#asleep === foundSome)
      await this.#turn(this.#channel, this.#listening.queryRunner)
  }

  /** Waits until somebody has written, or for a while, or until `signal` aborts. */
  async wait(signal: AbortSignal): Promise<void> {
    await pause(this.#waitMs(), AbortSignal.any([signal, this.#wake.signal]))
  }

  async close(): Promise<void> {
    const listening = this.#listening
    this.#listening = undefined
    if (listening === undefined) return
    const { queryRunner, stop } = listening
    stop()
    if (queryRunner.isReleased) return
    // The connection goes back to the pool, and whoever gets it next does not want to listen.
    await queryRunner.query('UNLISTEN *; SELECT pg_advisory_unlock_all()').catch(() => undefined)
    await queryRunner.release()
  }

  #waitMs(): number {
    if (this.#listening === undefined) return this.#pauseMs
    return this.#asleep ? this.#longestMs : Math.min(this.#pauseMs, longestAwakeMs)
  }

  /** Falls asleep, or gets up. */
  async #turn(channel: string, queryRunner: QueryRunner): Promise<void> {
    if (this.#asleep) {
      await queryRunner.query(getUp(channel))
      this.#asleep = false
    } else {
      const [answer] = (await queryRunner.query(fallAsleep(channel))) as { asleep: boolean }[]
      this.#asleep = answer!.asleep
    }
  }

  async #listen(channel: string): Promise<void> {
    const queryRunner = this.#dataSource.createQueryRunner('master')
    try {
      const connection = (await queryRunner.connect()) as Connection
      const rung = (notification: { channel: string }): void => {
        if (notification.channel === channel) this.#wake.abort()
      }
      const lost = (): void => this.#lost(queryRunner)
      connection.on('notification', rung).on('error', lost).on('end', lost)
      const stop = (): void => void connection.off('notification', rung).off('error', lost).off('end', lost)
      await queryRunner.query(`LISTEN ${this.#dataSource.driver.escape(channel)}`)
      this.#listening = { queryRunner, stop }
    } catch (error) {
      await queryRunner.release().catch(() => undefined)
      this.#logger.debug({ err: error }, 'cannot listen to who writes into the outbox; looking now and then')
    }
  }

  #lost(queryRunner: QueryRunner): void {
    if (this.#listening?.queryRunner !== queryRunner) return
    this.#listening.stop()
    this.#listening = undefined
    this.#asleep = false
    this.#wake.abort()
    this.#logger.debug({}, 'the connection that listens to the outbox is lost; making another one')
    // TypeORM has released it by itself, unless it heard nothing.
    if (!queryRunner.isReleased) void queryRunner.release().catch(() => undefined)
  }
}
