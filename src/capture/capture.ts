import type { DataSource, EntitySubscriberInterface } from 'typeorm'

import { CascadeCapture } from '../cascade/captured.ts'
import { cascadeSources, embeddedStreams } from '../cascade/streams.ts'
import { RedstreamError } from '../errors.ts'
import type { IndexDefinition, StreamDefinition } from '../indexed.ts'
import { OutboxQueue } from '../outbox/queue.ts'
import { OutboxTable } from '../outbox/outbox-table.ts'
import type { Events } from '../runtime/events.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Settings } from '../runtime/settings.ts'
import { BeforeHooks } from './before-hooks.ts'
import type { Carrier } from './carrier.ts'
import { ChangeMessages } from './change-messages.ts'
import { DatabaseCascade } from './database-cascade.ts'
import { ExactWrites } from './exact-writes.ts'
import type { CaptureMode } from './modes.ts'
import { capturedBy, captureModesOf, type CaptureModes } from './stream-modes.ts'
import { OutboxBulk } from './outbox-bulk.ts'
import { OutboxCarrier } from './outbox-carrier.ts'
import { Producer } from './producer.ts'
import { RedisBulk } from './redis-bulk.ts'
import { RedisCarrier } from './redis-carrier.ts'
import { attachStatements } from './returning/attach.ts'
import type { StreamAccess } from './stream-access.ts'
import { CaptureSubscriber } from './subscriber.ts'
import { TransactionIds } from './transaction-id.ts'
import { Uncaptured } from './uncaptured.ts'

export interface CaptureParts {
  readonly dataSource: DataSource
  readonly indexes: readonly IndexDefinition[]
  /** Redis, which is asked for the first time when a change needs it. */
  readonly streams: StreamAccess
  readonly settings: Settings
  readonly events: Events
  readonly logger: Logger
}

/** What hears of an application's changes, and who carries them: everything between TypeORM and the streams. */
export class Capture {
  /** Every stream. */
  readonly definitions: readonly StreamDefinition[]
  /** The streams whose messages queue rows of other streams. */
  readonly cascading: readonly StreamDefinition[]
  readonly producer: Producer
  readonly exactWrites: ExactWrites
  /** What the relays have not published yet, when some stream goes through the outbox. */
  readonly outbox: OutboxQueue | undefined
  readonly #parts: CaptureParts
  readonly #modes: CaptureModes
  readonly #carriers: readonly Carrier[]
  readonly #direct: RedisCarrier
  readonly #subscriber: CaptureSubscriber
  /** What hears of TypeORM's events. */
  readonly #subscribers: EntitySubscriberInterface[]

  /** @throws RedstreamError CONFIG when settings do not go together, ENTITY when a named relation does not exist */
  constructor(parts: CaptureParts) {
    const { dataSource, indexes, streams, settings, events, logger } = parts
    const cascade = cascadeSources(indexes)
    const modes = captureModesOf(indexes, cascade, settings.capture)
    this.#parts = parts
    this.#modes = modes
    this.definitions = [...indexes, ...embeddedStreams(cascade)]
    this.cascading = cascade.map(({ definition }) => definition)
    const table = this.#has('outbox', 'trigger')
      ? new OutboxTable(dataSource, settings.captureSchema)
      : undefined
    this.outbox = table && new OutboxQueue(table)
    if (this.#has('outbox')) checkSettings(settings)

    const direct = new RedisCarrier({ ...settings, streams, logger })
    const boxed = this.#has('outbox') && table !== undefined ? new OutboxCarrier(table) : undefined
    this.#direct = direct
    this.#carriers = boxed === undefined ? [direct] : [direct, boxed]
    const carrierOf = (definition: StreamDefinition): Carrier =>
      boxed !== undefined && modes.get(definition) === 'outbox' ? boxed : direct

    const captured = capturedBy(modes, ['subscriber', 'outbox'])
    const databaseCascade = new DatabaseCascade(dataSource, captured)
    const cascadeCapture = new CascadeCapture(cascade)
    this.#subscriber = new CaptureSubscriber({
      messages: new ChangeMessages(dataSource, captured, cascadeCapture),
      cascade: cascadeCapture,
      databaseCascade,
      carrierOf,
      uncaptured: new Uncaptured(settings.uncaptured, events, logger),
      logger,
    })
    this.#subscribers = [this.#subscriber]
    const { transactions } = this.#subscriber
    this.exactWrites = new ExactWrites(dataSource, this.definitions, this.#subscriber, databaseCascade)
    this.producer = new Producer({
      dataSource,
      modes,
      carrierOf,
      transactions,
      streams,
      redisBulk: new RedisBulk(dataSource, streams, direct, transactions),
      outboxBulk: boxed && new OutboxBulk(dataSource, boxed, transactions),
    })
  }

  /** Whether changes go straight to Redis. */
  get needsRedis(): boolean {
    return this.#has('subscriber')
  }

  /**
   * Begins to hear.
   *
   * @throws RedstreamError DATABASE when the outbox is missing
   */
  async attach(): Promise<void> {
    if (this.#has('outbox')) await this.outbox?.table.check()
    await this.#attachTransactionIds()
    this.#attachStatements()
    this.#parts.dataSource.subscribers.push(...this.#subscribers)
  }

  /** Waits until no transaction is open, for at most so many ms, and hears no more; returns how many still are. */
  async detach(timeoutMs: number): Promise<number> {
    const open = await this.#subscriber.transactions.idle(timeoutMs)
    const { subscribers } = this.#parts.dataSource
    for (const subscriber of this.#subscribers) {
      const position = subscribers.indexOf(subscriber)
      if (position >= 0) subscribers.splice(position, 1)
    }
    this.#subscriber.statements?.close()
    return open
  }

  /** Resolves when everything is queued that was committed before the call. */
  async settled(): Promise<void> {
    await Promise.all(this.#carriers.map((carrier) => carrier.settled()))
  }

  #attachStatements(): void {
    const { dataSource, settings, logger } = this.#parts
    const { returning, outsideTransaction } = settings
    const [followed] = capturedBy(this.#modes, ['subscriber', 'outbox'])
    // Nobody wants to know.
    if (followed === undefined) return
    this.#subscriber.statements =
      returning === 'off'
        ? undefined
        : attachStatements(
            dataSource,
            this.#subscriber,
            this.#subscriber.removals,
            followed.metadata,
            outsideTransaction === 'wrap',
            logger,
          )
    if (this.#subscriber.statements === undefined) this.#subscribers.push(new BeforeHooks(this.#subscriber))
  }

  async #attachTransactionIds(): Promise<void> {
    const { dataSource, settings, logger } = this.#parts
    const { ask, requeue } = settings
    // With "always", what a publish leaves waits for its age.
    if (this.needsRedis && ask === 'on' && requeue === 'orphaned')
      this.#direct.transactionIds = await TransactionIds.of(dataSource, logger)
  }

  #has(...wanted: CaptureMode[]): boolean {
    return capturedBy(this.#modes, wanted).length > 0
  }
}

function checkSettings({ outsideTransaction }: Settings): void {
  if (outsideTransaction === 'wrap') return
  throw new RedstreamError(
    'CONFIG',
    'outsideTransaction "publish" does not go with capture "outbox": a statement must be in one transaction with its row ' +
      'in the outbox; leave it at "wrap" (settings outsideTransaction and capture)',
  )
}
