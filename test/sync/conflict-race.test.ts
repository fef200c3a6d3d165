import { afterEach, expect, test } from 'vitest'

import { settingsFrom } from '../../src/runtime/settings.ts'
import { openPipeline } from '../../src/sync/pipeline.ts'
import { takeTicket } from '../../src/sync/ticket.ts'
import { captured, recordingLogger, type Captured, type LogLine } from '../support/captured.ts'
import { openConnections } from '../support/streams.ts'

let app: Captured
let end: () => Promise<void>

afterEach(async () => {
  await end()
  await app.dispose()
})

test('a writer that is faster twice, before the bulk request and before the look at its conflict, is no lost counter', async () => {
  app = await captured()
  const { space, dataSource, redstream, City } = app
  const client = space.elasticsearch()
  const log: LogLine[] = []
  const { commands } = openConnections(space.redisUrl, recordingLogger([]))
  const pipeline = await openPipeline(
    {
      dataSource,
      redis: space.redisUrl,
      elasticsearch: client,
      settings: settingsFrom({ namespace: space.namespace }),
    },
    recordingLogger(log),
  )
  await pipeline.init()
  const { id } = await dataSource.manager.save(Object.assign(new City(), { name: 'new', population: 1 }))

  // What another Consumer does that has taken its ticket later.
  let faster = 0
  const { transport } = space.elasticsearch()
  const request = client.transport.request.bind(client.transport)
  client.transport.request = (async (
    params: Parameters<typeof request>[0],
    options: Parameters<typeof request>[1],
  ) => {
    if (faster < 2 && (params.path === '/_bulk' || params.path.endsWith('/_mget'))) {
      faster += 1
      const { version } = await takeTicket(commands, app.partition)
      await transport.request({
        method: 'PUT',
        path: `/${space.indexPrefix}cities/_doc/${id}`,
        querystring: { version, version_type: 'external_gte' },
        body: { id, name: 'new', population: 1 },
      })
    }
    return request(params, options)
  }) as typeof client.transport.request

  const stopping = new AbortController()
  const runs = pipeline.workers(['consumer']).map((worker) => worker.run(stopping.signal))
  end = async () => {
    stopping.abort()
    await Promise.all(runs)
    await pipeline.close()
  }
  await redstream.drained()
  expect(faster).toBe(2)
  expect(log.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
})
