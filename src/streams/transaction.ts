/**
 * Which transaction a delay entry belongs to, and what becomes of the entry when the database is asked about it. See
 * docs/decisions/0023-a-delay-that-asks.md.
 */

/** The text of a transaction in a delay entry, see {@link transactionText}. */
export type TransactionText = `${string}:${string}`

/** What a database says of a transaction; `unknown`: it cannot say, for instance because it is another database. */
export type TransactionState = 'committed' | 'aborted' | 'in progress' | 'unknown'

/** The transactions that are open at one moment. */
export interface OpenTransactions {
  /** What tells the database from others, see {@link transactionText}. */
  readonly cluster: string
  /** Names of the transactions, whether they have an id or not; of no meaning elsewhere. */
  readonly names: ReadonlySet<string>
}

/** Who can be asked about transactions. Rejects while it does not answer. */
export interface TransactionStates {
  /** The state of each; one that is not in the answer is `unknown`. */
  of(transactions: readonly TransactionText[]): Promise<ReadonlyMap<TransactionText, TransactionState>>
  /** Those that are open now; undefined when it cannot say. */
  open(): Promise<OpenTransactions | undefined>
}

/**
 * A transaction as text.
 *
 * @param cluster - what tells the database from others whose ids mean something else
 * @param id - of the transaction, never used twice in that database; '' for one that is only known to have been open when
 * the text was written
 */
export function transactionText(cluster: string, id: string): TransactionText {
  return `${cluster}:${id}`
}

/** The parts of {@link transactionText}. */
export function partsOfTransaction(text: TransactionText): { cluster: string; id: string } {
  const colon = text.lastIndexOf(':')
  return { cluster: text.slice(0, colon), id: text.slice(colon + 1) }
}

/** Whether a text says which transaction it is. */
export function hasId(transaction: TransactionText): boolean {
  return partsOfTransaction(transaction).id !== ''
}

/**
 * Which transactions one without an id may be. It was open before anybody looked, so it is one of those that were open at
 * the first look and ever since; when none is left, it has ended.
 *
 * @param suspects - before this look; undefined before the first
 * @param open - undefined when the database cannot say
 */
export function suspectsAfter(
  transaction: TransactionText,
  suspects: ReadonlySet<string> | undefined,
  open: OpenTransactions | undefined,
): ReadonlySet<string> | undefined {
  if (open === undefined || open.cluster !== partsOfTransaction(transaction).cluster) return suspects
  if (suspects === undefined) return open.names
  return new Set([...suspects].filter((name) => open.names.has(name)))
}

/**
 * What becomes of a delay entry whose publish has not come.
 *
 * Only where the database cannot say does the age decide: as long as it says that a transaction is in progress, its
 * changes cannot be read yet, and a consumer would take the rows as they were. Of one that has ended, however, they can;
 * if it was aborted, that does no harm.
 *
 * @param delayMs - the setting `delay`
 */
export function fateOfDelayed(
  state: TransactionState | 'ended',
  ageMs: number,
  delayMs: number,
): 'requeue' | 'discard' | 'leave' {
  if (state === 'committed' || state === 'ended') return 'requeue'
  if (state === 'aborted') return 'discard'
  return state === 'unknown' && ageMs >= delayMs ? 'requeue' : 'leave'
}
