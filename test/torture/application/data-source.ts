import { DataSource } from 'typeorm'

import type { CaptureMode } from '../../../src/capture/modes.ts'
import type { SettingsInput } from '../../../src/runtime/settings.ts'
import { plan } from '../plan.ts'
import { entities, indexEntities } from './entities.ts'

/**
 * The application's DataSource, of which every process makes its own.
 *
 * @param space - name of the schema, namespace of the Redis keys, prefix of the indices
 */
export function openDatabase(url: string, space: string): DataSource {
  indexEntities(space)
  return new DataSource({
    type: 'postgres',
    url,
    schema: space,
    entities,
    // By which the torture finds the sessions that it cuts.
    applicationName: space,
    poolSize: 16,
    extra: {
      options: [
        // Raw SQL names its tables without the schema.
        `-c search_path=${space}`,
        `-c lock_timeout=${plan.lockTimeoutMs}`,
        `-c statement_timeout=${plan.statementTimeoutMs}`,
        `-c idle_in_transaction_session_timeout=${plan.writeMs}`,
      ].join(' '),
    },
  })
}

/** Where the database has what captures changes: a schema beside that of the tables. */
export function captureSchemaOf(space: string): string {
  return `${space}_capture`
}

/** The settings that application and workers share. */
export function settingsOf(space: string, capture: CaptureMode): SettingsInput {
  return {
    namespace: space,
    capture,
    captureSchema: captureSchemaOf(space),
    delay: plan.delayMs,
    takeOverAfter: plan.takeOverAfterMs,
    batchSize: plan.batchSize,
    concurrency: plan.concurrency,
    requestTimeout: plan.requestTimeoutMs,
    redisTimeout: plan.redisTimeoutMs,
  }
}
