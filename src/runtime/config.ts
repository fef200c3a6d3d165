import type { DataSource } from 'typeorm'

import type { Services } from '../indexed.ts'
import type { RedisConnection } from '../streams/connection.ts'
import type { ElasticsearchConnection } from '../indexing/elasticsearch-connection.ts'
import type { SettingsInput } from './config-schema.ts'

/** What `config/redstream.ts` exports: the settings, and how to reach the three servers. */
export interface RedstreamConfig extends SettingsInput {
  /** The application's DataSource, or a function that makes it. It is initialized when it is not yet. */
  dataSource: DataSource | Promise<DataSource> | (() => DataSource | Promise<DataSource>)
  /** Default: the environment's `REDIS_URL`. */
  redis?: RedisConnection | undefined
  /** Default: the environment's `ELASTICSEARCH_URL`. */
  elasticsearch?: ElasticsearchConnection | undefined
  /**
   * What `document()` finds in its context as `services`, or a function that makes it: called once, when a consumer has
   * its first batch. Default: none.
   */
  services?: Services | (() => Services | Promise<Services>) | undefined
}

/**
 * Gives a configuration its type; returns it unchanged. The command line reads the default export of
 * `config/redstream.{ts,js,mjs}`.
 *
 * @example
 * ```ts
 * import { defineConfig } from 'redstream'
 * import { dataSource } from '../src/data-source'
 *
 * export default defineConfig({
 *   dataSource,
 *   redis: 'redis://localhost:6379',
 *   elasticsearch: 'http://localhost:9200',
 *   delay: '5m',
 * })
 * ```
 */
export function defineConfig(config: RedstreamConfig): RedstreamConfig {
  return config
}
