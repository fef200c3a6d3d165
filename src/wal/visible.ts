import type { DataSource } from 'typeorm'

import { pause } from '../runtime/backoff.ts'

const longestPauseMs = 50

/**
 * Whether other sessions see what some transactions have committed.
 *
 * The log tells of a commit when it is written, and that is before the transaction counts as committed for others: by
 * some microseconds, by as long as its process is not scheduled, or by as long as a synchronous standby takes. Who reads
 * the row in between finds it as it was.
 *
 * @param snapshot - the text of `pg_current_snapshot()`: `xmin:xmax:xip,xip…`, numbers of 64 bits
 * @param xids - of transactions whose commit was told before the snapshot was taken; numbers of 32 bits, as the log has them
 */
export function areVisible(snapshot: string, xids: Iterable<number>): boolean {
  const [, xmax = '0', running = ''] = snapshot.split(':')
  const short = (text: string): number => Number(BigInt.asUintN(32, BigInt(text)))
  const end = short(xmax)
  const open = new Set(running === '' ? [] : running.split(',').map(short))
  for (const xid of xids) {
    // Numbers wrap around: the half of them that begins at `end` is not given out yet.
    const isAhead = (xid - end) >>> 0 < 2 ** 31
    if (isAhead || open.has(xid)) return false
  }
  return true
}

/** Waits until other sessions see what these transactions have committed, or `signal` aborts. */
export async function becomeVisible(
  dataSource: DataSource,
  xids: ReadonlySet<number>,
  signal: AbortSignal,
): Promise<void> {
  for (let waitMs = 1; xids.size > 0 && !signal.aborted; waitMs = Math.min(2 * waitMs, longestPauseMs)) {
    const [row] = await dataSource.query<{ snapshot: string }[]>(
      'SELECT pg_current_snapshot()::text AS snapshot',
    )
    if (areVisible(row!.snapshot, xids)) return
    await pause(waitMs, signal)
  }
}
