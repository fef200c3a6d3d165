import type { Client } from '@elastic/elasticsearch'

import type { Outcome } from '../indexing/bulk-writer.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Partition } from '../streams/keys.ts'
import type { RedisClient } from '../streams/scripts.ts'

export interface TargetSite {
  readonly redis: RedisClient
  readonly client: Client
  readonly partition: Partition
  readonly logger: Logger
}

/**
 * Takes indices off the list of targets that are gone: dropped by a reindex whose last word Redis has lost, or by hand.
 * Otherwise every batch would be tried again for ever because of them. When the list becomes empty, it is learned anew
 * from Elasticsearch.
 */
export async function forgetGoneTargets(
  { redis, client, partition, logger }: TargetSite,
  outcomes: readonly Outcome[],
): Promise<void> {
  const refusing = new Set(
    outcomes.flatMap(({ fate, operation }) => (fate === 'fatal' ? [operation.target] : [])),
  )
  for (const target of refusing) {
    if (await client.indices.existsAlias({ name: target })) continue
    await redis.srem(partition.keys.targets, target)
    const { stream, number } = partition
    logger.error(
      { stream, partition: number, target },
      'this index is gone, so nothing is written to it any more; the batch is tried again',
    )
  }
}
