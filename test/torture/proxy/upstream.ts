import { once } from 'node:events'
import { Agent, request, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'

import type { Journal } from '../application/journal.ts'
import { parseBulk, rejection } from './bulk-body.ts'

/** A whole answer. */
export interface Answer {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: Buffer
}

/** The server behind the proxy, and the journal of what was written to it. */
export class Upstream {
  readonly #target: URL
  readonly #journal: Journal
  readonly #agent = new Agent({ keepAlive: true })

  constructor(target: string, journal: Journal) {
    this.#target = new URL(target)
    this.#journal = journal
  }

  /** Asks the server. The body may be another one than that of the request; `treatment` is for the journal. */
  async ask(incoming: IncomingMessage, body: Buffer, treatment: string): Promise<Answer> {
    const { method, url = '/' } = incoming
    const { 'accept-encoding': _, 'transfer-encoding': __, connection: ___, ...headers } = incoming.headers
    const outgoing = request(new URL(url, this.#target), {
      method,
      agent: this.#agent,
      headers: { ...headers, host: this.#target.host, 'content-length': String(body.length) },
    })
    outgoing.end(body)
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
    const answer = await readAnswer(response)
    if (isBulk(incoming)) this.#note(body, answer, treatment)
    return answer
  }

  close(): void {
    this.#agent.destroy()
  }

  /** Keeps which documents were written, for whoever has to find out why one is wrong. */
  #note(body: Buffer, answer: Answer, treatment: string): void {
    const { items = [] } =
      answer.status === 200
        ? (JSON.parse(answer.body.toString()) as { items: Record<string, { status: number }>[] })
        : {}
    const operations = parseBulk(body.toString()).map(({ action, index, id, version, source }, i) => {
      const status = Object.values(items[i] ?? {})[0]?.status ?? answer.status
      return { action, index, id, version, source, status }
    })
    this.#journal.write({ treatment, operations })
  }
}

export function isBulk({ url }: IncomingMessage): boolean {
  return url?.startsWith('/_bulk') ?? false
}

async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const { 'transfer-encoding': _, connection: __, ...headers } = response.headers
  return { status: response.statusCode ?? 0, headers, body: await buffer(response) }
}

export function send(outgoing: ServerResponse, answer: Answer): void {
  outgoing.writeHead(answer.status, headersOf(answer))
  outgoing.end(answer.body)
}

/** Sends the first half of an answer, and cuts the connection. */
export function sendHalf(outgoing: ServerResponse, answer: Answer): void {
  outgoing.writeHead(answer.status, headersOf(answer))
  outgoing.write(answer.body.subarray(0, answer.body.length >> 1), () => outgoing.destroy())
}

/** What Elasticsearch, or a gateway before it, says when it cannot take a request. */
export function refusal(status: number): Answer {
  // The client asks every server for this sign of a real Elasticsearch.
  const headers = { 'content-type': 'application/json', 'x-elastic-product': 'Elasticsearch' }
  return { status, headers, body: Buffer.from(JSON.stringify({ status, error: rejection.error })) }
}

function headersOf({ headers, body }: Answer): Answer['headers'] {
  // An answer to HEAD names the length of a body that is not sent.
  return body.length > 0 ? { ...headers, 'content-length': String(body.length) } : headers
}
