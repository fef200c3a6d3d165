import type {
  DataSource,
  EntityMetadata,
  EntitySubscriberInterface,
  LoadEvent,
  ObjectLiteral,
  QueryRunner,
} from 'typeorm'

import type { Hydration } from './hydration.ts'

/**
 * Runs `@AfterLoad` listeners and the `afterLoad` of subscribers, as TypeORM does after loading: they may decrypt or
 * compute what the document needs. Once for each entity, also for one that several others share.
 */
export async function afterLoad(queryRunner: QueryRunner, hydration: Hydration): Promise<void> {
  for (const { shape, entities } of hydration.places()) {
    const { metadata } = shape
    const subscribers = hearers(queryRunner.connection, metadata)
    if (metadata.afterLoadListeners.length === 0 && subscribers.length === 0) continue
    await Promise.all(
      entities.flatMap((entity) => [
        ...metadata.afterLoadListeners
          .filter((listener) => listener.isAllowed(entity))
          .map((listener): unknown => listener.execute(entity)),
        ...subscribers.map((subscriber) =>
          subscriber.afterLoad?.(entity, loadEvent(queryRunner, metadata, entity)),
        ),
      ]),
    )
  }
}

/** Whether listeners or subscribers are to hear of every loaded entity of this kind. */
export function isHeardOf(dataSource: DataSource, metadata: EntityMetadata): boolean {
  return metadata.afterLoadListeners.length > 0 || hearers(dataSource, metadata).length > 0
}

function hearers({ subscribers }: DataSource, metadata: EntityMetadata): EntitySubscriberInterface[] {
  return subscribers.filter((subscriber) => subscriber.afterLoad && listensTo(subscriber, metadata))
}

function listensTo(subscriber: EntitySubscriberInterface, { target }: EntityMetadata): boolean {
  const heard: unknown = subscriber.listenTo?.()
  if (!heard || heard === Object || heard === target) return true
  return typeof heard === 'function' && Object.prototype.isPrototypeOf.call(heard, target)
}

function loadEvent(
  queryRunner: QueryRunner,
  metadata: EntityMetadata,
  entity: ObjectLiteral,
): LoadEvent<ObjectLiteral> {
  const { connection, manager } = queryRunner
  return { connection, dataSource: connection, queryRunner, manager, entity, metadata }
}
