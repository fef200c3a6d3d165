import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

import { RedstreamError } from '../errors.ts'
import type { Logger } from './logger.ts'

/** Where to listen. */
export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/** What a path answers. */
export interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
}

/** Reads the setting `http`, which the table of options has checked: `HOST:PORT`, or `PORT` for this machine alone. */
export function parseListenAddress(text: string): ListenAddress {
  const separator = text.lastIndexOf(':')
  const host = separator < 0 ? '127.0.0.1' : text.slice(0, separator).replace(/^\[(.*)\]$/, '$1')
  return { host, port: Number(text.slice(separator + 1)) }
}

/** A running server. */
export interface HttpEndpoints {
  /** Where it listens; the port is that of the system's choice when 0 was asked for. */
  readonly url: string
  /** Answers what has been asked, and stops to listen. */
  close(): Promise<void>
}

/**
 * Answers GET and HEAD on a few paths.
 *
 * @throws RedstreamError HTTP when the address cannot be used
 */
export async function serveHttp(
  { host, port }: ListenAddress,
  paths: ReadonlyMap<string, () => Promise<Answer>>,
  logger: Logger,
): Promise<HttpEndpoints> {
  const server = createServer((request, response) => {
    void answer(request.method ?? '', request.url ?? '', paths, logger).then((result) =>
      send(response, result, request.method === 'HEAD'),
    )
  })
  await listen(server, { host, port })
  const { address, family, port: chosen } = server.address() as AddressInfo
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${chosen}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
      }),
  }
}

async function answer(
  method: string,
  url: string,
  paths: ReadonlyMap<string, () => Promise<Answer>>,
  logger: Logger,
): Promise<Answer> {
  const text = (status: number, body: string): Answer => ({ status, type: 'text/plain; charset=utf-8', body })
  const path = url.split('?', 1)[0]!
  const handler = paths.get(path)
  if (handler === undefined) return text(404, `there is ${[...paths.keys()].join(', ')}\n`)
  if (method !== 'GET' && method !== 'HEAD') return text(405, 'only GET and HEAD\n')
  try {
    return await handler()
  } catch (error) {
    logger.error({ err: error, path }, 'a request to the health and metrics endpoint failed')
    return text(500, 'failed; see the log\n')
  }
}

function send(response: ServerResponse, { status, type, body }: Answer, withoutBody: boolean): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    // A connection that is kept alive would hold up the end of the process, and nobody asks often.
    connection: 'close',
    ...(status === 405 ? { allow: 'GET, HEAD' } : {}),
  })
  response.end(withoutBody ? undefined : body)
}

async function listen(server: Server, { host, port }: ListenAddress): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, () => {
        server.off('error', reject)
        resolve()
      })
    })
  } catch (error) {
    const { code } = error as { code?: string }
    const reasons: Record<string, string> = {
      EADDRINUSE: 'another process has it',
      EADDRNOTAVAIL: 'it is not an address of this machine',
      EACCES: 'this user may not use it',
      ENOTFOUND: 'there is no such host',
    }
    const reason = reasons[code ?? ''] ?? code ?? String(error)
    throw new RedstreamError(
      'HTTP',
      `health and metrics cannot be served on ${host}:${port}: ${reason}; see --http (setting http, REDSTREAM_HTTP)`,
      { cause: error },
    )
  }
}
