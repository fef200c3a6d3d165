import type { DataSource, ObjectLiteral, QueryRunner } from 'typeorm'

import { RedstreamError } from '../errors.ts'
import type { Message } from '../streams/message.ts'
import { activeRunner, type WhereWritten } from './bulk-context.ts'
import { matchingKeys, type Where } from './key-pages.ts'
import { messagesOf, type MatchingOptions, type Scope } from './matching.ts'
import type { OutboxCarrier } from './outbox-carrier.ts'
import type { Transactions } from './transactions.ts'

/** Rows that matched before a callback, which go into the outbox after it: pages of keys as JSON, some 20 MB a million. */
export type NotedPages = readonly string[]

/** Queues all rows that match, for streams that are written to through the outbox. */
export class OutboxBulk {
  readonly #dataSource: DataSource
  readonly #carrier: OutboxCarrier
  readonly #transactions: Transactions

  constructor(dataSource: DataSource, carrier: OutboxCarrier, transactions: Transactions) {
    this.#dataSource = dataSource
    this.#carrier = carrier
    this.#transactions = transactions
  }

  /**
   * Before a write: the rows that match. In the open transaction of a given manager they are put into the outbox at once;
   * otherwise they are remembered, because the outbox would publish them before the write.
   */
  async note<E extends ObjectLiteral>(
    scope: Scope,
    where: Where<E>,
    options: MatchingOptions,
  ): Promise<NotedPages> {
    const inside = activeRunner(options.manager)
    const pages: string[] = []
    await this.#eachPage(scope, where, options, 'delay', async (messages) => {
      if (inside === undefined) pages.push(JSON.stringify(messages))
      else await this.#write(scope, messages, inside)
    })
    return pages
  }

  /** @throws RedstreamError USAGE without the manager of an open transaction */
  async noteInside<E extends ObjectLiteral>(
    scope: Scope,
    where: Where<E>,
    options: MatchingOptions,
  ): Promise<number> {
    const inside = activeRunner(options.manager)
    if (inside === undefined) throw needsTransaction(scope)
    return this.#eachPage(scope, where, options, 'delay', (messages) => this.#write(scope, messages, inside))
  }

  /** After the callback of a `bulk`: the rows that {@link note} has noted, and those that match now. */
  async queueWritten<E extends ObjectLiteral>(
    scope: Scope,
    where: Where<E>,
    options: MatchingOptions,
    { open, committed }: WhereWritten,
    noted: NotedPages,
  ): Promise<void> {
    const places: (QueryRunner | undefined)[] = [...open]
    if (committed || open.length === 0) places.push(undefined)
    for (const place of places) {
      for (const page of noted) await this.#write(scope, JSON.parse(page) as Message[], place)
      const reading = place === undefined ? options : { ...options, manager: place.manager }
      await this.#eachPage(scope, where, reading, 'queue', (messages) => this.#write(scope, messages, place))
    }
  }

  /**
   * Puts all rows that match into the outbox: in the open transaction of a given manager, else at once.
   *
   * @returns their number
   */
  async queue<E extends ObjectLiteral>(
    scope: Scope,
    where: Where<E>,
    options: MatchingOptions,
  ): Promise<number> {
    const inside = activeRunner(options.manager)
    return this.#eachPage(scope, where, options, 'queue', (messages) => this.#write(scope, messages, inside))
  }

  async #eachPage<E extends ObjectLiteral>(
    scope: Scope,
    where: Where<E>,
    { manager, onProgress }: MatchingOptions,
    step: 'delay' | 'queue',
    action: (messages: readonly Message[]) => Promise<void>,
  ): Promise<number> {
    let rows = 0
    for await (const page of matchingKeys(this.#dataSource, manager, scope, where)) {
      await action(messagesOf(page))
      rows += page.length
      onProgress?.({ rows, step })
    }
    return rows
  }

  async #write(
    { definitions }: Scope,
    messages: readonly Message[],
    inside: QueryRunner | undefined,
  ): Promise<void> {
    for (const definition of definitions) {
      if (inside === undefined) await this.#carrier.queue(definition, messages, 'bulk')
      else await this.#transactions.of(inside).recordPage(definition, messages)
    }
  }
}

/** Of calls that only make sense before a commit. */
export function needsTransaction({ metadata: { name } }: Pick<Scope, 'metadata'>): RedstreamError {
  return new RedstreamError(
    'USAGE',
    `${name} is captured through the outbox, which publishes at once what is put into it: pass the manager of the ` +
      `transaction that writes (\`manager\`), or use redstream.update, redstream.delete or redstream.bulk`,
  )
}
