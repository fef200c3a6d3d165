import type { Client } from '@elastic/elasticsearch'
import type { DataSource } from 'typeorm'

import type { IndexDefinition, Services } from '../indexed.ts'
import type { OutboxQueue } from '../outbox/queue.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Settings } from '../runtime/settings.ts'
import type { Partition } from '../streams/keys.ts'
import type { RedisClient } from '../streams/scripts.ts'

/** One index, and everything that its documents depend on. */
export interface IndexSite {
  readonly definition: IndexDefinition
  readonly partitions: readonly Partition[]
  /** Partitions of the streams whose changes lead to documents of this index through the group "cascade". */
  readonly cascades: readonly Partition[]
  readonly dataSource: DataSource
  /** Where changes of this installation wait before they come to the streams, if they do. */
  readonly outbox: OutboxQueue | undefined
  readonly redis: RedisClient
  readonly client: Client
  readonly settings: Settings
  /** What `document()` finds in its context. */
  readonly services: () => Promise<Services>
  readonly logger: Logger
}
