import { setTimeout as sleep } from 'node:timers/promises'

import type { Pool } from 'pg'

/**
 * Removes what captures changes in a database. Not with Redstream's own means: whatever it has left behind must not fill
 * the disk of a server that other tests use.
 */
export async function removeCaptureObjects(database: Pool, captureSchema: string): Promise<void> {
  const slots = 'FROM pg_replication_slots WHERE starts_with(slot_name, $1)'
  for (;;) {
    const { rows } = await database.query(`SELECT pg_terminate_backend(active_pid) ${slots} AND active`, [
      captureSchema,
    ])
    if (rows.length === 0) break
    await sleep(50)
  }
  await database.query(`SELECT pg_drop_replication_slot(slot_name) ${slots}`, [captureSchema])
  await database.query(`DROP PUBLICATION IF EXISTS ${captureSchema}`)
  await database.query(`DROP SCHEMA IF EXISTS ${captureSchema} CASCADE`)
}
