import { Client } from '@elastic/elasticsearch'
import type { ClientOptions } from '@elastic/elasticsearch'

import { RedstreamError } from '../errors.ts'
import { describeElasticsearchError, statusOf } from './elasticsearch-error.ts'

/** How to reach Elasticsearch: a URL, options of the client (TLS, basic auth, API key), or a client of your own. */
export type ElasticsearchConnection = string | ClientOptions | Client

/** A client, and whether Redstream made it and so has to close it. */
export interface ConnectedElasticsearch {
  client: Client
  owned: boolean
}

/** What {@link checkElasticsearch} found. */
export interface ElasticsearchInfo {
  /** Without credentials. */
  address: string
  /** Undefined when the user may not ask for it (`monitor` privilege). */
  version: string | undefined
}

const whereToSet = 'Set `elasticsearch` in the configuration file or ELASTICSEARCH_URL'

/**
 * Makes the client; nothing is sent yet. A client of the user's own is used as it is.
 *
 * @param options.requestTimeoutMs longest wait for an answer; a `requestTimeout` among the client's options wins
 * @throws RedstreamError CONFIG when the address or the options cannot be used
 */
export function connectElasticsearch(
  connection: ElasticsearchConnection,
  options: { requestTimeoutMs: number },
): ConnectedElasticsearch {
  if (isClient(connection)) return { client: connection, owned: false }
  const given: ClientOptions = typeof connection === 'string' ? { node: checkedUrl(connection) } : connection
  try {
    return { client: new Client({ requestTimeout: options.requestTimeoutMs, ...given }), owned: true }
  } catch (error) {
    // Only the client's own complaints are repeated: a URL's error carries the URL, and with it a password.
    const reason = error instanceof Error && error.name === 'ConfigurationError' ? `: ${error.message}` : ''
    throw new RedstreamError(
      'CONFIG',
      `The Elasticsearch client does not accept its options${reason}. ${whereToSet}.`,
    )
  }
}

// By its shape: the user's client may be of another copy of the package.
function isClient(connection: Exclude<ElasticsearchConnection, string> | string): connection is Client {
  return typeof connection === 'object' && 'transport' in connection && 'indices' in connection
}

function checkedUrl(text: string): string {
  const protocol = URL.canParse(text) ? new URL(text).protocol : ''
  if (protocol === 'http:' || protocol === 'https:') return text
  throw new RedstreamError(
    'CONFIG',
    `The address of Elasticsearch is not a URL such as http://127.0.0.1:9200. ${whereToSet}.`,
  )
}

/** The addresses that a client speaks to, without credentials. */
export function elasticsearchAddress(client: Client): string {
  const addresses = client.connectionPool.connections.map(
    ({ url }) => url.origin + url.pathname.replace(/\/$/, ''),
  )
  return addresses.join(', ') || '(no address)'
}

/**
 * Asks whether Elasticsearch is there, lets us in, is of a version that we know, and understands the client.
 *
 * @throws RedstreamError ELASTICSEARCH_UNAVAILABLE, or ELASTICSEARCH when it refuses us or is no Elasticsearch 8 or 9
 */
export async function checkElasticsearch(client: Client): Promise<ElasticsearchInfo> {
  const address = elasticsearchAddress(client)
  // Every address once, and no waiting in between: who starts a program wants to know at once.
  const once = { maxRetries: client.connectionPool.connections.length - 1 }
  // Not client.info(): servers without the REST root (serverless proxies, reduced builds) do not answer `GET /`.
  await allowing([403], client.cluster.health({}, once), address)
  // Serverless has no nodes to ask for: 404 or 410.
  const nodes = await allowing(
    [403, 404, 410],
    client.nodes.info({ filter_path: 'nodes.*.version' }),
    address,
  )
  const version = Object.values(nodes?.nodes ?? {})[0]?.version
  if (version !== undefined && Number.parseInt(version, 10) < 8) {
    throw new RedstreamError(
      'ELASTICSEARCH',
      `Elasticsearch at ${address} is version ${version}; Redstream needs 8.19 or later.`,
    )
  }
  // A server of an older major version than the client answers requests without a body, but refuses those with one,
  // among them every bulk request. This one concerns no index.
  await allowing([403], client.search({ index: 'redstream-check-*', size: 0 }), address)
  return { address, version }
}

/** The answer, or undefined when the server refuses with one of the given statuses. */
async function allowing<T>(statuses: number[], answer: Promise<T>, address: string): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (statuses.includes(statusOf(error) ?? 0)) return undefined
    throw describeElasticsearchError(error, address)
  }
}
