import { Client } from '@elastic/elasticsearch'

import { plan } from '../plan.ts'
import { parseBulk } from '../proxy/bulk-body.ts'

/** Sends the body of a bulk request. */
type Send = (body: string) => Promise<unknown>

/**
 * What a Consumer could do wrong, put between it and Elasticsearch. With any of these the torture must find differences;
 * where it does not, it is the torture that is wrong.
 */
export const sabotages: Readonly<Record<string, (body: string, send: Send) => Promise<unknown>>> = {
  // The last writer wins, whatever it has read.
  'no-versions': (body, send) => send(body.replaceAll(versioned, '')),
  // A new version for rows that were read before.
  'ticket-after-read': (body, send) =>
    send(body.replaceAll(versioned, `,"version":${micros()},"version_type":"external_gte"`)),
  // The entries are done for the group, whatever becomes of the request.
  'acknowledge-before-answer': async (body, send) => {
    send(body).catch(() => undefined)
    return { items: parseBulk(body).map(({ action }) => ({ [action]: { status: 200 } })) }
  },
}

const versioned = /,"version":\d+,"version_type":"external_gte"(?=}}\n)/g

/** A client for the workers' configuration that spoils bulk requests in the way of this name. */
export function sabotagedClient(node: string, name: string): Client {
  const spoil = sabotages[name]
  if (spoil === undefined)
    throw new Error(`no sabotage is called "${name}": ${Object.keys(sabotages).join(', ')}`)
  const client = new Client({ node, requestTimeout: plan.requestTimeoutMs })
  const request = client.transport.request.bind(client.transport)
  client.transport.request = ((
    params: Parameters<typeof request>[0],
    options: Parameters<typeof request>[1],
  ) =>
    params.path === '/_bulk' && typeof params.bulkBody === 'string'
      ? spoil(params.bulkBody, (bulkBody) => request({ ...params, bulkBody }, options))
      : request(params, options)) as typeof client.transport.request
  return client
}

/** The clock that tickets go by. */
function micros(): number {
  return Math.floor((performance.timeOrigin + performance.now()) * 1_000)
}
