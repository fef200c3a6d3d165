import { RedstreamError, isRedstreamError } from '../errors.ts'
import { isRecord } from './canonical-json.ts'

/** What Elasticsearch says about a request that it refused. */
export interface Refusal {
  /** Its own class name, `mapper_parsing_exception`; empty when it gave none. */
  type: string
  /** Its sentence, with the innermost cause when that says more. */
  reason: string
}

// The error classes of the client, by name: with two copies of the package `instanceof` does not hold.
const unreachable = new Set(['ConnectionError', 'TimeoutError', 'NoLivingConnectionsError'])
// 429: its queues are full; 502 to 504: a proxy or a cluster without a master.
const overloaded = new Set([408, 429, 502, 503, 504])

const setting = '`elasticsearch` in the configuration file or ELASTICSEARCH_URL'

/** The HTTP status of the client's ResponseError, else undefined. */
export function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || error.name !== 'ResponseError' || !('statusCode' in error))
    return undefined
  return typeof error.statusCode === 'number' ? error.statusCode : undefined
}

/** Type and reason out of the body of the client's ResponseError. */
export function refusalOf(error: unknown): Refusal {
  const top =
    error instanceof Error && 'body' in error && isRecord(error.body) ? error.body['error'] : undefined
  if (!isRecord(top)) return { type: '', reason: textOf(top ?? error) }
  const type = textOf(top['type'] ?? '')
  const outer = textOf(top['reason'] ?? type)
  let inner = top
  while (isRecord(inner['caused_by'])) inner = inner['caused_by']
  const cause = textOf(inner['reason'] ?? '')
  return { type, reason: sentence(outer.includes(cause) ? outer : `${outer}: ${cause}`) }
}

/**
 * Makes a RedstreamError of whatever the client threw, decided by error class and HTTP status: ELASTICSEARCH_UNAVAILABLE
 * for what may pass by itself, ELASTICSEARCH for what will not. A RedstreamError is given back as it is.
 *
 * @param address where the client speaks to, without credentials: {@link elasticsearchAddress}
 */
export function describeElasticsearchError(error: unknown, address: string): RedstreamError {
  if (isRedstreamError(error)) return error
  const server = `Elasticsearch at ${address}`
  const status = statusOf(error)
  if (status !== undefined) return describeStatus(status, error, server)
  const name = error instanceof Error ? error.name : ''
  if (unreachable.has(name)) {
    const message = `${server} cannot be reached (${textOf(error)}). Start it, or correct ${setting}.`
    return new RedstreamError('ELASTICSEARCH_UNAVAILABLE', message, { cause: error })
  }
  if (name === 'ProductNotSupportedError' || name === 'DeserializationError') {
    const message = `What answers at ${address} is not Elasticsearch. Correct ${setting}.`
    return new RedstreamError('ELASTICSEARCH', message, { cause: error })
  }
  return new RedstreamError('ELASTICSEARCH', `A request to ${server} failed: ${textOf(error)}.`, {
    cause: error,
  })
}

/** {@link describeElasticsearchError} for errors of the client; others (of the database, of Redis) are given back as they are. */
export function describeClientError(error: unknown, address: string): unknown {
  const isOfClient = statusOf(error) !== undefined || (error instanceof Error && unreachable.has(error.name))
  return isOfClient ? describeElasticsearchError(error, address) : error
}

function describeStatus(status: number, error: unknown, server: string): RedstreamError {
  const { type, reason } = refusalOf(error)
  const make = (code: 'ELASTICSEARCH' | 'ELASTICSEARCH_UNAVAILABLE', message: string): RedstreamError =>
    new RedstreamError(code, message, { cause: error })
  if (status === 401) {
    return make(
      'ELASTICSEARCH',
      `${server} does not accept the user name, password or API key. Correct ${setting}.`,
    )
  }
  if (status === 403) {
    return make('ELASTICSEARCH', `${server} denies the request: ${reason}. Give the user that privilege.`)
  }
  if (overloaded.has(status)) {
    return make(
      'ELASTICSEARCH_UNAVAILABLE',
      `${server} cannot take the request now (status ${status}): ${reason}.`,
    )
  }
  if (type === 'media_type_header_exception') {
    const advice = 'Install the @elastic/elasticsearch whose major version is that of the server.'
    return make('ELASTICSEARCH', `${server} does not understand this version of the client. ${advice}`)
  }
  return make('ELASTICSEARCH', `${server} refused a request (status ${status}): ${reason}.`)
}

function textOf(value: unknown): string {
  // OpenSSL's messages hold line breaks.
  if (value instanceof Error) return value.message.replaceAll(/\s+/g, ' ').trim()
  return typeof value === 'string' ? value : JSON.stringify(value)
}

// Ours put the full stop themselves.
function sentence(text: string): string {
  return text.trim().replace(/\.$/, '')
}
