import type { DataSource, ObjectLiteral, QueryRunner } from 'typeorm'

import type { StreamDefinition } from '../indexed.ts'
import type { DelayEntry, StreamWriter } from '../streams/stream-writer.ts'
import type { Message } from '../streams/message.ts'
import type { WhereWritten } from './bulk-context.ts'
import { matchingKeys, type Where } from './key-pages.ts'
import { messagesOf, type Delayed, type MatchingOptions, type Scope } from './matching.ts'
import type { RedisCarrier } from './redis-carrier.ts'
import type { StreamAccess } from './stream-access.ts'
import { moveOrPublish } from './transaction-capture.ts'
import type { Transactions } from './transactions.ts'

/** Beyond this number of rows, `bulk` no longer remembers which ones it has queued, so as to keep memory flat. */
const remembered = 100_000

/** Queues all rows that match, for streams that are written to straight: delay messages before, the bulk lane after. */
export class RedisBulk {
  readonly #dataSource: DataSource
  readonly #streams: StreamAccess
  readonly #carrier: RedisCarrier
  readonly #transactions: Transactions

  constructor(
    dataSource: DataSource,
    streams: StreamAccess,
    carrier: RedisCarrier,
    transactions: Transactions,
  ) {
    this.#dataSource = dataSource
    this.#streams = streams
    this.#carrier = carrier
    this.#transactions = transactions
  }

  /**
   * After the callback of a `bulk`: the rows that {@link delay} has noted, and those that match now.
   *
   * @param seen - what `delay` was given
   */
  async queueWritten<E extends ObjectLiteral>(
    scope: Scope,
    where: Where<E>,
    options: MatchingOptions,
    { open, committed }: WhereWritten,
    delayed: Delayed,
    seen: Set<string>,
  ): Promise<void> {
    const [only, ...others] = open
    if (only === undefined) {
      await this.moveDelayed(delayed)
      await this.queue(scope, where, options, seen)
      return
    }
    // Entries can be moved only once: where that would not do for all that was written, they stay for the Delayer.
    const shared = others.length > 0 || (committed && delayed.rows > seen.size)
    if (!shared) this.#adopt(only, delayed)
    if (committed) {
      await this.#each(scope.definitions, (_, writer) => writer.publish(messagesOf(seen), 'bulk'))
      await this.queue(scope, where, options, new Set(seen))
    }
    for (const queryRunner of open) {
      const { manager } = queryRunner
      const inside = { ...options, manager }
      const late = await this.delay(scope, where, inside, shared ? new Set() : seen)
      this.#adopt(queryRunner, late)
    }
  }

  /** Writes delay messages for the rows that match and are not in `seen`, which learns them. */
  async delay<E extends ObjectLiteral>(
    scope: Scope,
    where: Where<E>,
    options: MatchingOptions,
    seen: Set<string>,
  ): Promise<Delayed> {
    const entries = new Map(scope.definitions.map((definition) => [definition, [] as DelayEntry[]]))
    let rows = 0
    for await (const page of matchingKeys(this.#dataSource, options.manager, scope, where)) {
      const messages = unseen(page, seen)
      await this.#each(scope.definitions, async (definition, writer) => {
        entries.get(definition)!.push(...(await writer.delay(messages)))
      })
      rows += messages.length
      options.onProgress?.({ rows, step: 'delay' })
    }
    return { rows, entries, keys: seen }
  }

  /**
   * Queues the rows that match and are not in `seen`.
   *
   * @returns the number of all rows that match
   */
  async queue<E extends ObjectLiteral>(
    scope: Scope,
    where: Where<E>,
    options: MatchingOptions,
    seen: Set<string>,
  ): Promise<number> {
    let rows = 0
    for await (const page of matchingKeys(this.#dataSource, options.manager, scope, where)) {
      const messages = unseen(page, seen)
      await this.#each(scope.definitions, (_, writer) => writer.publish(messages, 'bulk'))
      rows += page.length
      options.onProgress?.({ rows, step: 'queue' })
    }
    return rows
  }

  /** Queues the rows that {@link delay} has noted. */
  async moveDelayed({ entries, keys }: Delayed): Promise<void> {
    await this.#each([...entries.keys()], (definition, writer) =>
      moveOrPublish(writer, entries.get(definition)!, [messagesOf(keys)]),
    )
  }

  #adopt(queryRunner: QueryRunner, { entries, keys }: Delayed): void {
    const transaction = this.#transactions.of(queryRunner).by(this.#carrier)
    for (const [definition, ofDefinition] of entries) transaction.adopt(definition, ofDefinition, keys)
  }

  /** Does the same for every index, side by side. */
  async #each(
    definitions: readonly StreamDefinition[],
    action: (definition: StreamDefinition, writer: StreamWriter) => Promise<unknown>,
  ): Promise<void> {
    try {
      await Promise.all(
        definitions.map((definition) => action(definition, this.#streams.writerOf(definition))),
      )
    } catch (error) {
      throw this.#streams.connections.describe(error)
    }
  }
}

/** Messages for the keys that are not in `seen`, which learns them as long as it is small. */
function unseen(keys: readonly string[], seen: Set<string>): Message[] {
  const messages = messagesOf(keys.filter((key) => !seen.has(key)))
  if (seen.size < remembered) for (const { id } of messages) seen.add(id)
  return messages
}
