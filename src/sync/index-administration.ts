import type { Client } from '@elastic/elasticsearch'
import type { DataSource } from 'typeorm'

import type { IndexDefinition } from '../indexed.ts'
import { adoptIndex, type Adoption } from '../indexing/adoption.ts'
import { planIndex, type IndexPlan } from '../indexing/index-plan.ts'
import { currentTargets, initIndexes, type InitReport } from '../indexing/index-schema.ts'
import type { Settings } from '../runtime/settings.ts'
import { createGroup } from '../streams/group-member.ts'
import type { Partition } from '../streams/keys.ts'
import type { RedisClient } from '../streams/scripts.ts'
import { indexedSources, type Source } from './sources.ts'
import { isTarget } from './ticket.ts'

/** What `redstream init --plan --json` prints. */
export type PlanReport = (IndexPlan & {
  /** Rows that a reindex copies. */
  rows?: number
})[]

export interface AdministrationOptions {
  readonly dataSource: DataSource
  readonly redis: RedisClient
  readonly client: Client
  readonly settings: Settings
}

/** What `redstream init` does about the indices and streams of some sources. */
export class IndexAdministration {
  readonly #options: AdministrationOptions
  readonly #sources: readonly Source[]

  constructor(options: AdministrationOptions, sources: readonly Source[]) {
    this.#options = options
    this.#sources = sources
  }

  /** Creates what is missing: indices, aliases, consumer groups, and the list of write targets. */
  async init(): Promise<InitReport> {
    const { client, redis, settings } = this.#options
    const indexes = this.#sources.flatMap(({ index }) => index ?? [])
    const report = await initIndexes(client, indexes, settings)
    for (const { index, groups, partitions } of this.#sources) {
      const targets = index === undefined ? [] : await currentTargets(client, index)
      for (const partition of partitions) {
        for (const group of groups) await createGroup(redis, partition, group)
        if (targets.length > 0) await redis.sadd(partition.keys.targets, ...targets)
        await this.#forgetGoneTargets(partition)
      }
    }
    return report
  }

  /** What `init` would do, and how many rows a reindex would have to copy. */
  async plan(): Promise<PlanReport> {
    const { client, dataSource, settings } = this.#options
    const report: PlanReport = []
    for (const { index } of indexedSources(this.#sources)) {
      const plan = await planIndex(client, index, settings)
      report.push(plan.action === 'reindex' ? { ...plan, rows: await countRows(dataSource, index) } : plan)
    }
    return report
  }

  /** Takes over indices that were made by hand under the names of the aliases. */
  async adopt(): Promise<Adoption[]> {
    const { client, settings } = this.#options
    const adoptions: Adoption[] = []
    for (const { index } of indexedSources(this.#sources)) {
      const adoption = await adoptIndex(client, index, settings)
      if (adoption !== undefined) adoptions.push(adoption)
    }
    return adoptions
  }

  /** An index that was deleted by hand would otherwise be written to for ever, in vain. */
  async #forgetGoneTargets({ keys }: Partition): Promise<void> {
    const { client, redis } = this.#options
    for (const target of await redis.smembers(keys.targets)) {
      if (!isTarget(target)) continue
      const exists = await client.indices.existsAlias({ name: target })
      if (!exists) await redis.srem(keys.targets, target)
    }
  }
}

async function countRows(
  dataSource: DataSource,
  { metadata, options: { withDeleted = false } }: IndexDefinition,
): Promise<number> {
  const queryRunner = dataSource.createQueryRunner('master')
  try {
    const rows = queryRunner.manager.getRepository(metadata.target)
    return await rows.count({ withDeleted, loadEagerRelations: false })
  } finally {
    await queryRunner.release()
  }
}
