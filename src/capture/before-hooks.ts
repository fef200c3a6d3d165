import type {
  EntitySubscriberInterface,
  InsertEvent,
  ObjectLiteral,
  RecoverEvent,
  RemoveEvent,
  SoftRemoveEvent,
  UpdateEvent,
} from 'typeorm'

import { changeOfEvent } from './changes.ts'
import type { CaptureSubscriber } from './subscriber.ts'

/**
 * What is heard before a write, where its statement does not tell of it. Apart from the other hooks, because these are not
 * free: when one has run, TypeORM works out the changes of every entity that is saved a second time.
 *
 * Hooks are `async` for the reason given at {@link CaptureSubscriber}.
 */
export class BeforeHooks implements EntitySubscriberInterface {
  readonly #capture: CaptureSubscriber

  constructor(capture: CaptureSubscriber) {
    this.#capture = capture
  }

  async beforeInsert(event: InsertEvent<ObjectLiteral>): Promise<void> {
    // Keys do not exist yet, or are not those that the row will get.
    await this.#capture.mayWrite(event)
  }

  async beforeUpdate(event: UpdateEvent<ObjectLiteral>): Promise<void> {
    await this.#capture.beforeWrite('update', event)
  }

  async beforeRemove(event: RemoveEvent<ObjectLiteral>): Promise<void> {
    await this.#capture.removals.announced(event.queryRunner, changeOfEvent('delete', event))
    await this.#capture.beforeWrite('delete', event)
  }

  async beforeSoftRemove(event: SoftRemoveEvent<ObjectLiteral>): Promise<void> {
    await this.#capture.beforeWrite('soft delete', event)
  }

  async beforeRecover(event: RecoverEvent<ObjectLiteral>): Promise<void> {
    await this.#capture.beforeWrite('restore', event)
  }
}
