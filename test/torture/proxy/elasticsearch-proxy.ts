import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

import { Journal } from '../application/journal.ts'
import type { Random } from '../random.ts'
import { mergeAnswers, parseBulk } from './bulk-body.ts'
import { treat, type Treatment, type Weather } from './treatment.ts'
import { isBulk, refusal, send, sendHalf, Upstream, type Answer } from './upstream.ts'

export interface ProxyOptions {
  /** The URL of the server. */
  readonly target: string
  readonly random: Random
  readonly journalFile: string
}

/**
 * An HTTP proxy before Elasticsearch that does to requests what networks and busy servers do. It reads a request whole
 * before it passes it on, so that it may arrive late, when its sender has given up and sent it again.
 */
export class ElasticsearchProxy {
  /** Requests by what was done to them. */
  readonly treatments: Partial<Record<Treatment['kind'], number>> = {}
  readonly port: number
  readonly #server: Server
  readonly #upstream: Upstream
  readonly #random: Random
  readonly #underWay = new Set<Promise<void>>()
  readonly #closed = new AbortController()
  #weather: Weather = 'calm'

  private constructor(server: Server, port: number, { target, random, journalFile }: ProxyOptions) {
    this.#server = server
    this.port = port
    this.#upstream = new Upstream(target, new Journal(journalFile))
    this.#random = random
    server.on('request', (incoming, outgoing) => {
      const work = this.#serve(incoming, outgoing)
        .catch(() => void outgoing.destroy())
        .finally(() => this.#underWay.delete(work))
      this.#underWay.add(work)
    })
  }

  static async start(options: ProxyOptions): Promise<ElasticsearchProxy> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no TCP address')
    return new ElasticsearchProxy(server, address.port, options)
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Changes what happens to the requests from now on. */
  async turn(weather: Weather): Promise<void> {
    if (weather === this.#weather) return
    const was = this.#weather
    this.#weather = weather
    if (weather === 'unreachable') {
      const closed = once(this.#server, 'close')
      this.#server.close()
      this.#server.closeAllConnections()
      await closed
    } else if (was === 'unreachable') {
      this.#server.listen(this.port, '127.0.0.1')
      await once(this.#server, 'listening')
    }
  }

  /** Disturbs no more requests, and waits until those that were held have arrived. */
  async calmDown(): Promise<void> {
    await this.turn('calm')
    while (this.#underWay.size > 0) await Promise.all(this.#underWay)
  }

  /** Ends it; what it holds back is thrown away. */
  async close(): Promise<void> {
    this.#closed.abort()
    this.#server.close()
    this.#server.closeAllConnections()
    this.#upstream.close()
    await Promise.all(this.#underWay)
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    outgoing.on('error', () => undefined)
    const body = await buffer(incoming)
    const treatment = treat(this.#weather, this.#random)
    this.treatments[treatment.kind] = (this.treatments[treatment.kind] ?? 0) + 1
    const forward = (): Promise<Answer> => this.#upstream.ask(incoming, body, treatment.kind)
    switch (treatment.kind) {
      case 'forward':
        return send(outgoing, await forward())
      case 'hold':
        await this.#pause(treatment.ms)
        return send(outgoing, await forward())
      case 'late answer': {
        const answer = await forward()
        await this.#pause(treatment.ms)
        return send(outgoing, answer)
      }
      case 'swallow':
        return
      case 'no answer':
        await forward()
        return
      case 'refuse':
        return send(outgoing, refusal(treatment.status))
      case 'refuse some':
        return send(
          outgoing,
          isBulk(incoming) ? await this.#forwardSome(incoming, body, treatment.share) : refusal(429),
        )
      case 'cut request':
        outgoing.destroy()
        return
      case 'cut answer':
        sendHalf(outgoing, await forward())
    }
  }

  /** Lets some operations of a bulk request through, and answers for the others that they were refused. */
  async #forwardSome(incoming: IncomingMessage, body: Buffer, share: number): Promise<Answer> {
    const items = parseBulk(body.toString())
    const refused = new Set([...items.keys()].filter(() => this.#random.chance(share)))
    const passed = items.filter((_, i) => !refused.has(i))
    if (passed.length === 0) return refusal(429)
    const rest = Buffer.from(passed.map(({ text }) => text).join(''))
    const answer = await this.#upstream.ask(incoming, rest, 'refuse some')
    if (answer.status !== 200) return answer
    const answers = (JSON.parse(answer.body.toString()) as { items: unknown[] }).items
    const merged = { errors: true, items: mergeAnswers(items, refused, answers) }
    return { ...answer, body: Buffer.from(JSON.stringify(merged)) }
  }

  #pause(ms: number): Promise<void> {
    return sleep(ms, undefined, { signal: this.#closed.signal })
  }
}
