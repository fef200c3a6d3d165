import { Client } from 'pg'
import { DataSource } from 'typeorm'
import { afterEach, expect, test } from 'vitest'

import { startPostgres, type ServerHandle } from '../../services/services.ts'
import { settingsFrom } from '../../src/runtime/settings.ts'
import { openPipeline } from '../../src/sync/pipeline.ts'
import { LogNotes } from '../../src/wal/log-notes.ts'
import { LogPart } from '../../src/wal/log-part.ts'
import { recordingLogger } from '../support/captured.ts'
import { testSpace } from '../support/services.ts'
import { shop } from './shop.ts'
import { followed } from './support.ts'

const shared = process.env['DATABASE_URL']
let server: ServerHandle | undefined

/** A server of one's own, in place of the one that the tests share. */
async function serverWith(settings: Record<string, string>): Promise<void> {
  server = await startPostgres({ settings })
  process.env['DATABASE_URL'] = server.url
}

afterEach(async () => {
  process.env['DATABASE_URL'] = shared
  await server?.stop()
})

test('no slot and no sender is left', async () => {
  await serverWith({ max_replication_slots: '1', max_wal_senders: '1' })
  const app = await followed(shop)
  try {
    const names = { ...app.log.names, slot: `${app.log.names.slot}_2` }
    const notes = new LogNotes(app.log.redis, `${app.space.namespace}-2`)
    await expect(new LogPart({ ...app.log, names, notes }).apply()).rejects.toThrow(
      /every replication slot of the server is taken.*max_replication_slots/,
    )

    const other = new Client({ connectionString: server!.url, replication: 'database' } as object)
    await other.connect()
    app.start('follower')
    const told = (): string => app.lines.map(({ facts }) => String(facts['err'])).join('\n')
    await expect.poll(told).toMatch(/raise max_wal_senders/)
    await other.end()
    // It goes on by itself.
    await app.sql(`INSERT INTO tags (id, label) VALUES (1, 'new')`)
    await app.passed()
  } finally {
    await app.dispose()
  }
})

test('a log that says too little', async () => {
  await serverWith({ wal_level: 'replica' })
  const space = await testSpace()
  const { redisUrl: redis, elasticsearchUrl: elasticsearch, namespace } = space
  const options = space.dataSourceOptions(shop as never)
  const dataSource = await new DataSource({ ...options, synchronize: true }).initialize()
  const settings = settingsFrom({ namespace, captureSchema: namespace, capture: 'wal' })
  const pipeline = await openPipeline({ dataSource, redis, elasticsearch, settings }, recordingLogger([]))
  try {
    await expect(pipeline.database.apply()).rejects.toThrow(
      /ALTER SYSTEM SET wal_level = logical, then restart/,
    )
  } finally {
    await pipeline.close()
    await dataSource.destroy()
    await space.dispose()
  }
})
