import { isRedstreamError } from '../../../src/errors.ts'
import { RolledBack, TooSlow } from './write.ts'

/** Why a write failed. `other` is what nobody expects. */
export type Reason =
  | 'rolled back'
  | 'refused'
  | 'contention'
  | 'no Redis'
  | 'connection lost'
  | 'too slow'
  | 'other'

// SQLSTATE classes: https://www.postgresql.org/docs/current/errcodes-appendix.html
const byState: readonly (readonly [RegExp, Reason])[] = [
  [/^23/, 'refused'],
  // Deadlock, serialization, lock_timeout, statement_timeout; and what comes after them in the same transaction.
  [/^(40|55P03|57014|25P02)/, 'contention'],
  [/^(57P|08|25P03)/, 'connection lost'],
]

/** Sorts an error by its class and code. */
export function reasonOf(error: unknown): Reason {
  if (error instanceof RolledBack) return 'rolled back'
  if (error instanceof TooSlow) return 'too slow'
  if (isRedstreamError(error)) return error.code === 'REDIS_UNAVAILABLE' ? 'no Redis' : 'other'
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown }
  if (typeof code === 'string') {
    const known = byState.find(([state]) => state.test(code))
    if (known !== undefined) return known[1]
    if (/^(ECONN|EPIPE)/.test(code)) return 'connection lost'
  }
  // What pg and TypeORM say of a connection that is gone has no code.
  return /connection|not queryable|already released|Transaction is not started/i.test(String(message))
    ? 'connection lost'
    : 'other'
}
