import { quoteText } from './triggers/sql.ts'

/*
 * How PostgreSQL wakes the relays. Transactions that NOTIFY commit one after the other, in the whole database: each holds a
 * lock from before it writes its commit to the disk until after that. So whoever fills the outbox rings only when a relay
 * sleeps.
 *
 * A relay that is about to sleep takes a lock, and looks into the outbox once more. Whoever writes shares that lock until
 * he has committed; when he cannot have it, a relay sleeps, and he rings. So a relay can only fall asleep when it sees
 * everything of those who did not ring.
 */

/** The lock of a channel: FROZEN, writers and relays of all versions agree on it. */
function lockOf(channel: string): string {
  return `hashtextextended(${quoteText(channel)}, 0)`
}

/**
 * Of whoever has written into the outbox, behind SELECT, or PERFORM in a function: it rings when the transaction commits, if a
 * relay sleeps.
 */
export function ring(channel: string): string {
  return `pg_notify(${quoteText(channel)}, '') WHERE NOT pg_try_advisory_xact_lock_shared(${lockOf(channel)})`
}

/** A query of a relay on the connection that listens: whether it may sleep until it hears the bell. */
export function fallAsleep(channel: string): string {
  return `SELECT pg_try_advisory_lock(${lockOf(channel)}) AS asleep`
}

/** A query of a relay that sleeps no more, on the same connection. */
export function getUp(channel: string): string {
  return `SELECT pg_advisory_unlock(${lockOf(channel)})`
}
