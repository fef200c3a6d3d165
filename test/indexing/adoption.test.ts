import { afterEach, describe, expect, test } from 'vitest'

import { captured, recordingLogger, type Captured } from '../support/captured.ts'
import { adoptIndex } from '../../src/indexing/adoption.ts'
import { settingsFrom } from '../../src/runtime/settings.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import { verifyIndex } from '../../src/verify/verify.ts'

let app: Captured
let pipeline: Pipeline
let stop: () => Promise<void> = async () => undefined

async function open(): Promise<{ client: ReturnType<Captured['space']['elasticsearch']>; index: string }> {
  app = await captured()
  const { dataSource, space } = app
  pipeline = await openPipeline(
    {
      dataSource,
      redis: space.redisUrl,
      elasticsearch: space.elasticsearchUrl,
      settings: settingsFrom({ namespace: space.namespace }),
    },
    recordingLogger([]),
  )
  return { client: space.elasticsearch(), index: `${space.indexPrefix}cities` }
}

function start(): void {
  const stopping = new AbortController()
  const runs = pipeline.workers(['consumer']).map((worker) => worker.run(stopping.signal))
  stop = async () => {
    stopping.abort()
    await Promise.all(runs)
  }
}

afterEach(async () => {
  await stop()
  stop = async () => undefined
  await pipeline.close()
  await app.dispose()
})

async function repair(index: string) {
  return verifyIndex(pipeline.site(index), {
    scope: { kind: 'all' },
    repair: true,
    examples: 10,
    patienceMs: 30_000,
    signal: new AbortController().signal,
  })
}

describe('an index that was made by hand', () => {
  test('becomes an alias with the same documents, which verify brings in step', async () => {
    const { client, index } = await open()
    const rome = await app.dataSource.manager.save(app.city('Rome'))
    await app.dataSource.manager.save(app.city('Paris'))
    await client.indices.create({ index, mappings: { properties: { id: { type: 'integer' } } } })
    await client.index({ index, id: String(rome.id), document: { id: rome.id, name: 'Rom' } })
    await client.index({ index, id: String(rome.id), document: { id: rome.id, name: 'Rome' } })
    await client.index({ index, id: '99', document: { id: 99, name: 'Atlantis' }, refresh: true })
    await expect(pipeline.init()).rejects.toMatchObject({ code: 'INDEX' })

    const [adoption] = await pipeline.adopt()
    expect(adoption).toMatchObject({ name: index, documents: 2 })
    expect(Object.keys(await client.indices.getAlias({ name: index }))).toEqual([adoption!.physical])
    expect((await client.count({ index })).count).toBe(2)
    expect(await pipeline.init()).toMatchObject([{ name: index, physical: adoption!.physical }])
    expect(await pipeline.adopt()).toEqual([])

    start()
    expect(await repair(index)).toMatchObject({ rows: 2, missing: 0, stale: 0, orphaned: 1, repaired: 1 })
    const { _version: version } = await client.get({ index, id: String(rome.id) })
    expect(version).toBeGreaterThan(1e15)
    const { index: blocks } = (await client.indices.getSettings({ index }))[adoption!.physical]!.settings!
    expect(blocks?.blocks?.write ?? null).toBeNull()
    await app.dataSource.manager.save(Object.assign(rome, { name: 'Roma' }))
    await app.redstream.drained()
    expect(await client.get({ index, id: String(rome.id) })).toMatchObject({ _source: { name: 'Roma' } })
  })

  test('behind an alias gets the write alias that it lacks', async () => {
    const { client, index } = await open()
    await client.indices.create({ index: `${index}-by-hand`, aliases: { [index]: {} } })
    expect(await pipeline.adopt()).toEqual([{ name: index, physical: `${index}-by-hand`, documents: 0 }])
    await pipeline.init()
    start()
    const rome = await app.dataSource.manager.save(app.city('Rome'))
    await app.redstream.drained()
    expect(await client.get({ index, id: String(rome.id) })).toMatchObject({ _source: { name: 'Rome' } })
  })

  test('is refused as it is when its versions are above the tickets', async () => {
    const { client, index } = await open()
    const version = Number(BigInt(Date.now()) * 1_000_000n)
    await client.index({ index, id: '1', document: { name: 'x' }, version, version_type: 'external' })
    await expect(pipeline.adopt()).rejects.toMatchObject({
      code: 'INDEX',
      message: expect.stringContaining('above what Redstream'),
    })
    expect(Object.keys(await client.indices.get({ index: `${index}*` }))).toEqual([index])
    await client.index({ index, id: '2', document: { name: 'still writable' } })
  })

  test('whose field types are others is adopted, and then it takes a reindex', async () => {
    const { client, index } = await open()
    // Dynamic mapping makes a long of it.
    await client.index({ index, id: '1', document: { id: 1 } })
    expect(await pipeline.adopt()).toMatchObject([{ documents: 1 }])
    await expect(pipeline.init()).rejects.toMatchObject({
      code: 'INDEX',
      message: expect.stringContaining(`redstream reindex ${index}`),
    })
  })

  test('stays as it is, and writable, when the clone fails', async () => {
    const { client, index } = await open()
    await client.index({ index, id: '1', document: { name: 'x' } })
    const { definition } = pipeline.site(index)
    const failing = app.space.elasticsearch()
    failing.indices.clone = () => {
      throw new Error('the connection is cut')
    }
    await expect(adoptIndex(failing, definition)).rejects.toThrow('the connection is cut')
    expect(Object.keys(await client.indices.get({ index: `${index}*` }))).toEqual([index])
    await client.index({ index, id: '2', document: { name: 'still writable' } })
  })

  test('loses nothing when the answer to the swap is lost', async () => {
    const { client, index } = await open()
    await client.index({ index, id: '1', document: { name: 'x' } })
    const { definition } = pipeline.site(index)
    const deaf = app.space.elasticsearch()
    const swap = deaf.indices.updateAliases.bind(deaf.indices)
    deaf.indices.updateAliases = async (params?: object) => {
      await swap(params)
      throw new Error('the answer is lost')
    }
    await expect(adoptIndex(deaf, definition)).rejects.toThrow('the answer is lost')
    expect(await client.get({ index, id: '1' })).toMatchObject({ _source: { name: 'x' } })
    await client.index({ index, id: '2', document: { name: 'still writable' } })
    expect(await pipeline.adopt()).toEqual([])
  })

  test('that is not there is nothing to adopt', async () => {
    await open()
    expect(await pipeline.adopt()).toEqual([])
  })
})
