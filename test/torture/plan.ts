/** The numbers of the torture. Those of the processes are shorter than the defaults, so that a minute holds many faults. */
export const plan = {
  /** A Consumer whose heartbeat stays away for this long loses its entries to the others. */
  takeOverAfterMs: 2_000,
  /** Age at which the Delayer moves a delay message. */
  delayMs: 10_000,
  /**
   * A write that has not come to its commit after this time is rolled back by the application. What may follow, the
   * wait for Redis and the COMMIT, is bounded by `redisTimeoutMs` and `statementTimeoutMs`: together they stay below the
   * delay, as a transaction of a real application must.
   */
  writeMs: 4_000,
  redisTimeoutMs: 2_000,
  statementTimeoutMs: 3_000,
  lockTimeoutMs: 1_500,
  /** Shorter than the proxy holds a request back, so that requests arrive whose sender has given up. */
  requestTimeoutMs: 3_000,
  batchSize: 40,
  concurrency: 3,
  delayers: 2,
  trimmers: 2,
  /** Transactions at the same time in one writer. */
  lanesPerWriter: 8,
  /** The same in one stranger. */
  lanesPerStranger: 3,
  strangers: 1,
  /** Relays, or Followers. */
  carriers: 2,
  /** The end of the writing, see `finale.ts`: a quiet time, then one in which requests are held back, then the last writes. */
  finaleMs: { quiet: 2_000, late: 1_000, last: 2_000 },
  /** Longest wait for everything to be done, after the writing and beside the delay. */
  patienceMs: 90_000,
  /** Groups of rows that `bulk` writes; no other write puts a row into one of them. */
  regions: 40,
  rowsPerRegion: 25,
} as const
