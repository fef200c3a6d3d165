import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { inspect } from 'node:util'

import { Client } from '@elastic/elasticsearch'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { startElasticsearch } from '../../services/elasticsearch.ts'
import type { ServerHandle } from '../../services/server-handle.ts'
import {
  checkElasticsearch,
  connectElasticsearch,
  elasticsearchAddress,
  type ElasticsearchConnection,
} from '../../src/indexing/elasticsearch-connection.ts'
import { describeElasticsearchError } from '../../src/indexing/elasticsearch-error.ts'

const password = 'tell-nobody'
const options = { requestTimeoutMs: 10_000 }
const url = (): string => process.env['ELASTICSEARCH_URL'] ?? ''

async function check(
  connection: ElasticsearchConnection,
  requestTimeoutMs = 10_000,
): Promise<Awaited<ReturnType<typeof checkElasticsearch>>> {
  const { client } = connectElasticsearch(connection, { requestTimeoutMs })
  try {
    return await checkElasticsearch(client)
  } finally {
    await client.close()
  }
}

async function refusal(promise: Promise<unknown>): Promise<Error & { code: string }> {
  const error: unknown = await promise.then(
    () => new Error('nothing was refused'),
    (reason: unknown) => reason,
  )
  expect(inspect(error, { depth: 20, showHidden: true, getters: true })).not.toContain(password)
  return error as Error & { code: string }
}

describe('the client', () => {
  test('is made of a URL or options, and closed by whoever made it', async () => {
    for (const connection of [url(), { node: url() }]) {
      const { client, owned } = connectElasticsearch(connection, options)
      expect(owned).toBe(true)
      await client.close()
    }
    const client = new Client({ node: url() })
    expect(connectElasticsearch(client, options)).toEqual({ client, owned: false })
    await client.close()
  })

  test('knows its addresses without credentials', () => {
    const nodes = [`https://elastic:${password}@one:9243/es/`, 'http://two:9200']
    const { client } = connectElasticsearch({ nodes }, options)
    expect(elasticsearchAddress(client)).toBe('https://one:9243/es, http://two:9200')
  })

  test.each<ElasticsearchConnection>([
    `elastic:${password}@127.0.0.1:9200`,
    `redis://:${password}@127.0.0.1`,
    { node: `http://elastic:${password}@:9200` },
    {},
  ])('is not made of what is no address', async (connection) => {
    const error = await refusal(check(connection))
    expect(error.code).toBe('CONFIG')
    expect(error.message).toContain('ELASTICSEARCH_URL')
  })
})

describe('the check', () => {
  test('finds address and version', async () => {
    const found = await check(url())
    expect(found.address).toBe(new URL(url()).origin)
    expect(found.version).toMatch(/^[89]\./)
  })

  test('says where nothing answers', async () => {
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    server.close()
    await once(server, 'close')
    const error = await refusal(check(`http://elastic:${password}@127.0.0.1:${port}`))
    expect(error.code).toBe('ELASTICSEARCH_UNAVAILABLE')
    expect(error.message).toContain(`http://127.0.0.1:${port} cannot be reached`)
    expect(error.message).toContain('ELASTICSEARCH_URL')
  })

  test('does not wait longer than the request timeout', async () => {
    const sockets: net.Socket[] = []
    const server = net.createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const error = await refusal(check(`http://127.0.0.1:${port}`, 300))
    expect(error.code).toBe('ELASTICSEARCH_UNAVAILABLE')
    for (const socket of sockets) socket.destroy()
    server.close()
  })

  test.each([
    ['{"status":"green"}', 'application/json'],
    ['<html></html>', 'text/html'],
  ])('tells another server from Elasticsearch: %s', async (body, type) => {
    const server = http.createServer((_, response) => response.setHeader('content-type', type).end(body))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const error = await refusal(check(`http://127.0.0.1:${port}`))
    expect(error.code).toBe('ELASTICSEARCH')
    expect(error.message).toContain('is not Elasticsearch')
    server.close()
  })
})

describe('a server with users', () => {
  let server: ServerHandle
  const as = (username: string, secret: string): ElasticsearchConnection => {
    const address = new URL(server.url)
    address.username = username
    address.password = secret
    return address.href
  }

  beforeAll(async () => {
    // Whoever names no user may read, and neither see the cluster nor make an index.
    const settings = { 'xpack.security.authc.anonymous.roles': 'viewer' }
    server = await startElasticsearch({ password, settings })
  })
  afterAll(() => server?.stop())

  test('lets the right password in', async () => {
    const found = await check(as('elastic', password))
    expect(found.version).toBeDefined()
    expect(found.address).not.toContain('@')
  })

  test('refuses a wrong password', async () => {
    const error = await refusal(check(as('elastic', 'wrong')))
    expect(error.code).toBe('ELASTICSEARCH')
    expect(error.message).toMatch(/does not accept the user name, password/)
  })

  test('lets a user in who may not ask for the version, and says what he may not do', async () => {
    expect((await check(as('', ''))).version).toBeUndefined()
    const { client } = connectElasticsearch(as('', ''), options)
    const created = client.indices.create({ index: 'cities' }).catch((error: unknown) => {
      throw describeElasticsearchError(error, elasticsearchAddress(client))
    })
    const error = await refusal(created)
    expect(error.code).toBe('ELASTICSEARCH')
    expect(error.message).toMatch(/denies the request: .*indices:admin\/create/)
    await client.close()
  })
})
