/** Who tells which rows have changed, from the one that sees least to the one that sees most. */
export const captureModes = ['subscriber', 'outbox', 'trigger', 'wal'] as const

/**
 * Who tells which rows have changed.
 *
 * - `subscriber`: the events and statements of TypeORM, straight to Redis.
 * - `outbox`: the same, to a table in the same transaction; the Relay takes them from there.
 * - `trigger`: triggers of PostgreSQL, to the same table.
 * - `wal`: the log of PostgreSQL, which the Follower reads.
 */
export type CaptureMode = (typeof captureModes)[number]
