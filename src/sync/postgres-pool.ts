import type { EventEmitter } from 'node:events'

import type { DataSource } from 'typeorm'

import type { Logger } from '../runtime/logger.ts'

/**
 * Listens to the errors of PostgreSQL connections that nobody listens to. Between the moment in which the pool gives a
 * connection away and the one in which TypeORM listens to it, its end is an error event without a listener, which
 * ends the process; seen when a paused process finds the greeting of a new connection and its end in one piece. The
 * query that follows on such a connection fails, and is tried again like any other.
 */
export function hearConnectionErrors({ driver }: DataSource, logger: Logger): void {
  const { master, slaves = [] } = driver as { master?: unknown; slaves?: unknown[] }
  for (const pool of [master, ...slaves]) {
    if (!emits(pool)) continue
    pool.on('connect', (connection: EventEmitter) => {
      connection.on('error', (error: unknown) => logger.debug({ err: error }, 'a database connection ended'))
    })
  }
}

function emits(pool: unknown): pool is EventEmitter {
  return typeof (pool as Partial<EventEmitter> | undefined)?.on === 'function'
}
