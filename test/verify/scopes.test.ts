import { Column, DataSource, DeleteDateColumn, Entity, PrimaryColumn, UpdateDateColumn } from 'typeorm'
import { afterEach, describe, expect, test } from 'vitest'

import { Indexed } from '../../src/indexed.ts'
import { pause } from '../../src/runtime/backoff.ts'
import { settingsFrom } from '../../src/runtime/settings.ts'
import type { IndexSite } from '../../src/sync/site.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import { verifyIndex, type VerifyOptions } from '../../src/verify/verify.ts'
import type { VerifyReport } from '../../src/verify/report.ts'
import { recordingLogger } from '../support/captured.ts'
import { pipelined, type Pipelined } from '../support/pipelined.ts'
import { testSpace, type TestSpace } from '../support/services.ts'

const clean = { missing: 0, stale: 0, orphaned: 0, unindexable: 0, inFlight: 0, repaired: 0, complete: true }

function verify(site: IndexSite, options: Partial<VerifyOptions> = {}): Promise<VerifyReport> {
  return verifyIndex(site, {
    scope: { kind: 'all' },
    repair: false,
    examples: 100,
    patienceMs: 30_000,
    signal: new AbortController().signal,
    ...options,
  })
}

describe('an entity with a composite key, an update date and soft deletion, in three partitions', () => {
  let space: TestSpace
  let dataSource: DataSource
  let pipeline: Pipeline
  let site: IndexSite
  const stopping = new AbortController()
  let runs: Promise<void>[] = []

  interface StockRow {
    shop: string
    item: string
    amount: number
  }
  let Stock: new () => StockRow

  const open = async (): Promise<void> => {
    space = await testSpace()
    const index = `${space.indexPrefix}stock`
    @Indexed<StockRow>({ index, partitions: 3, when: ({ amount }) => amount >= 0 })
    @Entity({ name: 'stock' })
    class StockEntity implements StockRow {
      @PrimaryColumn({ type: 'text' }) shop!: string
      @PrimaryColumn({ type: 'text' }) item!: string
      @Column({ type: 'integer' }) amount!: number
      @UpdateDateColumn({ type: 'timestamp' }) updatedAt!: Date
      @DeleteDateColumn({ type: 'timestamptz' }) deletedAt!: Date | null
    }
    Stock = StockEntity
    dataSource = await new DataSource({ ...space.dataSourceOptions([Stock]), synchronize: true }).initialize()
    pipeline = await openPipeline(
      {
        dataSource,
        redis: space.redisUrl,
        elasticsearch: space.elasticsearchUrl,
        settings: settingsFrom({ namespace: space.namespace }),
      },
      recordingLogger([]),
    )
    await pipeline.init()
    runs = pipeline.workers(['consumer']).map((worker) => worker.run(stopping.signal))
    site = pipeline.site(index)
    await dataSource.query(
      `INSERT INTO stock (shop, item, amount, "updatedAt")
        SELECT 'shop:' || n % 7, 'item ' || n, n - 100, CURRENT_TIMESTAMP - interval '2 days' FROM generate_series(1, 1500) n`,
    )
  }
  afterEach(async () => {
    stopping.abort()
    await Promise.all(runs)
    await pipeline.close()
    await dataSource.destroy()
    await space.dispose()
  })

  test('is verified as a whole, in part, and repaired', async () => {
    await open()
    // Rows that SQL has written, so nothing is indexed yet: 1,401 of them shall have a document.
    const first = await verify(site, { repair: true })
    expect(first).toMatchObject({ ...clean, rows: 1_500, missing: 1_401, repaired: 1_401 })
    expect(await verify(site)).toMatchObject({ ...clean, rows: 1_500, documents: 1_401 })

    const sql = `UPDATE stock SET "deletedAt" = now() WHERE item IN ('item 700', 'item 701')`
    await dataSource.query(sql)
    await dataSource.query(`UPDATE stock SET amount = -1 WHERE item = 'item 702'`)
    await dataSource.query(`UPDATE stock SET amount = 5, "updatedAt" = now() WHERE item = 'item 703'`)
    await dataSource.query(`DELETE FROM stock WHERE item = 'item 704'`)

    // Written in the last hour by the database's clock, in the session's time zone.
    expect(await verify(site, { scope: { kind: 'since', ms: 3_600_000 } })).toMatchObject({
      ...clean,
      rows: 1,
      documents: 1,
      stale: 1,
    })
    // As far back as time goes.
    const ages = { kind: 'since', ms: 9e15 } as const
    expect(await verify(site, { scope: ages })).toMatchObject({ rows: 1_497, complete: true })
    const ids = ['shop%3A0:item 700', 'shop%3A4:item 704', 'shop%3A5:item 705', 'no such:row', 'no key']
    expect(await verify(site, { scope: { kind: 'ids', ids } })).toMatchObject({
      ...clean,
      rows: 1,
      documents: 3,
      orphaned: 2,
    })
    // One of the documents goes while the rows are walked, before the documents are.
    const all = await verify(site, { repair: true })
    expect(all).toMatchObject({ ...clean, rows: 1_497, documents: 1_400, orphaned: 4, stale: 1, repaired: 5 })
    expect(all.examples.find(({ kind }) => kind === 'stale')).toMatchObject({
      id: 'shop%3A3:item 703',
      fields: expect.arrayContaining([{ field: 'amount', row: 5, document: 603 }]) as unknown,
    })
    expect(await verify(site)).toMatchObject({ ...clean, rows: 1_497, documents: 1_397 })

    const sample = await verify(site, { scope: { kind: 'sample', size: 300 } })
    expect(sample).toMatchObject({ ...clean, documents: 300 })
    expect(sample.rows).toBeGreaterThan(0)
    expect(sample.rows).toBeLessThanOrEqual(300)
  })
})

describe('what is in flight', () => {
  let app: Pipelined
  afterEach(() => app.dispose())

  test('is no difference while workers are away, and is told apart', async () => {
    app = await pipelined()
    const stop = app.start('consumer')
    const [rome, paris] = await app.dataSource.manager.save([app.city('Rome'), app.city('Paris')])
    await app.redstream.drained()
    await stop()
    await app.dataSource.manager.save(Object.assign(rome!, { name: 'Roma' }))
    await app.client.delete({ index: app.index, id: String(paris!.id) })
    const site = app.pipeline.site(app.index)
    const waiting = await verify(site, { patienceMs: 200, repair: true })
    expect(waiting).toMatchObject({ ...clean, rows: 2, inFlight: 1, missing: 1 })
    // Both are indexed now: one was changed, the other queued for repair.
    app.start('consumer')
    expect(await verify(site)).toMatchObject({ ...clean, rows: 2, documents: 2 })
  })

  test('a delay message without a publish is waited for', async () => {
    app = await pipelined({ delay: '1s' })
    app.start('consumer', 'delayer')
    // As by a process that dies between its commit and its publish.
    await app.redstream.producer.delay(app.City, 1)
    await app.dataSource.query(`INSERT INTO cities (name, population) VALUES ('Rome', 1)`)
    expect(await verify(app.pipeline.site(app.index))).toMatchObject({ ...clean, rows: 1 })
    expect(await app.document(1)).toMatchObject({ name: 'Rome' })
  })

  test('a row that changes without a pause is never called stale', async () => {
    app = await pipelined()
    app.start('consumer')
    const { id } = await app.dataSource.manager.save(app.city('Rome'))
    const stopping = new AbortController()
    const repository = app.dataSource.getRepository(app.City)
    const writer = (async () => {
      for (let n = 0; !stopping.signal.aborted; n++) await repository.save({ id, name: `Rome ${n}` })
    })()
    for (let n = 0; n < 3; n++) {
      const { stale, missing, orphaned } = await verify(app.pipeline.site(app.index))
      expect({ stale, missing, orphaned }).toEqual({ stale: 0, missing: 0, orphaned: 0 })
    }
    stopping.abort()
    await writer
    await app.redstream.drained()
    expect(await verify(app.pipeline.site(app.index))).toMatchObject(clean)
  })
})

describe('what cannot be indexed or compared', () => {
  let app: Pipelined
  afterEach(() => app.dispose())

  test('a row with a dead letter, and one whose document fails, are of their own kind and not queued', async () => {
    app = await pipelined(
      {},
      {
        mappings: { properties: { population: { type: 'byte' } } },
        document: ({ name, population }) => {
          if (name === 'bad') throw new Error('no document for bad')
          return { name, population }
        },
      },
    )
    app.start('consumer')
    const [good, large] = await app.dataSource.manager.save([app.city('good'), app.city('large')])
    await app.redstream.drained()
    await app.dataSource.manager.save(Object.assign(large!, { population: 1_000 }))
    await app.redstream.drained()
    await app.dataSource.query(`INSERT INTO cities (name) VALUES ('bad')`)
    const report = await verify(app.pipeline.site(app.index), { repair: true })
    expect(report).toMatchObject({ ...clean, rows: 3, documents: 2, unindexable: 2 })
    // As nobody writes a number but people.
    const ids = [`0${large!.id}`, `+${large!.id}`]
    const given = await verify(app.pipeline.site(app.index), { scope: { kind: 'ids', ids } })
    expect(given).toMatchObject({ ...clean, rows: 1, documents: 1, unindexable: 1 })
    expect(report.examples).toEqual([
      {
        id: String(large!.id),
        kind: 'unindexable',
        reason: expect.stringMatching(/^document_parsing_exception: /),
      },
      { id: String(good!.id + 2), kind: 'unindexable', reason: 'no document for bad' },
    ])
  })

  test('documents that take longer than a ticket may live are made and compared all the same', async () => {
    app = await pipelined(
      { ticketMaxAge: '1s' },
      {
        document: async ({ name }) => {
          await pause(name === 'slow' ? 700 : 0)
          return { name }
        },
      },
    )
    await app.dataSource.query(`INSERT INTO cities (name) VALUES ('slow'), ('slow'), ('quick'), ('slow')`)
    const { missing, unindexable } = await verify(app.pipeline.site(app.index))
    expect({ missing, unindexable }).toEqual({ missing: 4, unindexable: 0 })
  })

  test('vectors, which Elasticsearch does not give back, are no difference', async () => {
    const vector = { type: 'dense_vector', dims: 2 }
    app = await pipelined(
      {},
      {
        mappings: { properties: { parts: { type: 'nested', properties: { meaning: vector } } } },
        document: ({ name }) => ({ name, parts: [{ name, meaning: [0.6, 0.8] }] }),
      },
    )
    app.start('consumer')
    await app.dataSource.manager.save(app.city('Rome'))
    await app.redstream.drained()
    const site = app.pipeline.site(app.index)
    expect(await verify(site)).toMatchObject({ ...clean, rows: 1, documents: 1 })
    await app.dataSource.query(`UPDATE cities SET name = 'Roma'`)
    expect(await verify(site)).toMatchObject({ ...clean, stale: 1 })
  })

  test('documents of another program with a routing of their own are found and removed', async () => {
    app = await pipelined({}, { settings: { number_of_shards: 5 } })
    app.start('consumer')
    const cities = await app.dataSource.manager.save(
      Array.from({ length: 5 }, (_, i) => app.city(`city ${i}`)),
    )
    await app.redstream.drained()
    const { client, index } = app
    for (const { id } of cities)
      await client.index({ index, id: String(id), routing: `far ${id}`, document: { name: 'twice' } })
    const site = app.pipeline.site(index)
    const found = await verify(site, { repair: true })
    expect(found.orphaned).toBeGreaterThan(0)
    expect(found.repaired).toBe(found.orphaned + found.missing)
    expect(await verify(site)).toMatchObject({ ...clean, rows: 5, documents: 5 })
  })

  test('what the workers do not write to is compared, and never repaired', async () => {
    app = await pipelined()
    const site = app.pipeline.site(app.index)
    const { client, index } = app
    // That of another entity, say: it would lose its documents.
    const other = `${index}-other`
    await client.index({ index: other, id: 'not a number', document: { name: 'kept' }, refresh: true })
    expect(await verify(site, { index: other })).toMatchObject({ orphaned: 1 })
    const [physical] = Object.keys(await client.indices.getAlias({ name: index }))
    await expect(verify(site, { index: other, repair: true })).rejects.toMatchObject({
      code: 'INDEX',
      message: expect.stringMatching(new RegExp(`"${other}" is not repaired.*${physical}`)),
    })
    expect(await verify(site, { index: physical!, repair: true })).toMatchObject(clean)
    // The list is lost with Redis' data: what is behind the alias is written to then.
    await app.space.redis().del(app.partition.keys.targets)
    expect(await verify(site, { repair: true })).toMatchObject(clean)
    await expect(verify(site, { index: other, repair: true })).rejects.toMatchObject({ code: 'INDEX' })
  })

  test('there is no such index, no update date, and a signal stops it', async () => {
    app = await pipelined()
    const site = app.pipeline.site(app.index)
    expect(() => app.pipeline.site('nowhere')).toThrow(
      /there is no index "nowhere"; the indexed entities have: /,
    )
    await expect(verify(site, { index: 'no-such-index' })).rejects.toMatchObject({
      code: 'INDEX',
      message: expect.stringContaining('There is no index "no-such-index"'),
    })
    await expect(verify(site, { scope: { kind: 'since', ms: 1_000 } })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('City has no @UpdateDateColumn'),
    })
    await app.dataSource.manager.save(app.city('Rome'))
    const report = await verify(site, { signal: AbortSignal.abort() })
    expect(report).toMatchObject({ ...clean, complete: false })
    const [physical] = Object.keys(await app.client.indices.getAlias({ name: app.index }))
    expect(await verify(site, { index: physical!, patienceMs: 0 })).toMatchObject({ index: physical })
    await app.client.indices.delete({ index: physical! })
    await expect(verify(site)).rejects.toMatchObject({
      code: 'INDEX',
      message: expect.stringContaining('redstream init'),
    })
  })
})
