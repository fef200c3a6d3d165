import { once } from 'node:events'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { settingsFrom } from '../../src/runtime/settings.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import { captured, recordingLogger, type Captured, type LogLine } from '../support/captured.ts'

/** What a proxy before Elasticsearch says instead of it. */
interface Intervention {
  readonly status: number
  readonly type: string
  readonly body: string
}

let app: Captured
let proxy: Server
let pipeline: Pipeline
let intervention: Intervention | undefined
let interventions: number
let workerLog: LogLine[]
let stop: () => Promise<void>

beforeEach(async () => {
  interventions = 0
  workerLog = []
  app = await captured()
  proxy = createServer((incoming, outgoing) => {
    if (intervention !== undefined && incoming.url?.startsWith('/_bulk')) {
      interventions += 1
      incoming.resume()
      outgoing.writeHead(intervention.status, { 'content-type': intervention.type }).end(intervention.body)
      return
    }
    const { hostname, port } = new URL(app.space.elasticsearchUrl)
    const { method, url: path, headers } = incoming
    const forwarded = request({ hostname, port, method, path, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
    })
    forwarded.on('error', () => outgoing.destroy())
    incoming.pipe(forwarded)
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const { port } = proxy.address() as AddressInfo
  pipeline = await openPipeline(
    {
      dataSource: app.dataSource,
      redis: app.space.redisUrl,
      elasticsearch: `http://127.0.0.1:${port}`,
      settings: settingsFrom({ namespace: app.space.namespace }),
    },
    recordingLogger(workerLog),
  )
  await pipeline.init()
  const stopping = new AbortController()
  const runs = pipeline.workers(['consumer']).map((worker) => worker.run(stopping.signal))
  stop = async () => {
    stopping.abort()
    await Promise.all(runs)
  }
})
afterEach(async () => {
  intervention = undefined
  await stop()
  await pipeline.close()
  proxy.closeAllConnections()
  proxy.close()
  await app.dispose()
})

test.each([
  [404, 'text/plain', '404 page not found'],
  [404, 'application/json', '{"ok":false,"message":"Unknown deployment."}'],
  [409, 'application/json', '{}'],
  [400, 'text/html', '<html><title>400 Bad Request</title></html>'],
  [503, 'text/html', '<html><title>503 Service Unavailable</title></html>'],
  [200, 'text/html', '<html><title>Please log in</title></html>'],
])(
  'a proxy that answers %i %s: nothing is acknowledged, nobody is dead, and all arrives later',
  async (status, type, body) => {
    intervention = { status, type, body }
    const cities = await app.dataSource.manager.save([app.city('Rome'), app.city('Oslo')])
    await expect.poll(() => interventions).toBeGreaterThan(1)
    expect(workerLog.map(({ level }) => level)).toContain(status === 503 || status === 200 ? 'warn' : 'error')

    intervention = undefined
    await app.redstream.drained()
    const client = app.space.elasticsearch()
    for (const { id, name } of cities) {
      const { _source } = await client.get({ index: `${app.space.indexPrefix}cities`, id: String(id) })
      expect(_source).toMatchObject({ name })
    }
    expect(await app.space.redis().exists(app.partition.keys.deadLetters)).toBe(0)
  },
)
