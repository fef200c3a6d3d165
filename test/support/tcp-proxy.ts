import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** A TCP proxy on 127.0.0.1 that can break its connections in the ways in which networks break them. */
export class TcpProxy {
  readonly port: number
  readonly #server: Server
  readonly #pairs: Set<readonly [Socket, Socket]>
  #drops: (reply: string) => boolean = () => false

  private constructor(server: Server, pairs: Set<readonly [Socket, Socket]>, port: number) {
    this.#server = server
    this.#pairs = pairs
    this.port = port
  }

  /** Forwards to the server of `url`, host and port. */
  static async to(url: string): Promise<TcpProxy> {
    const { hostname, port } = new URL(url)
    const pairs = new Set<readonly [Socket, Socket]>()
    const server = createServer((client) => {
      const target = connect(Number(port), hostname)
      const pair = [client, target] as const
      pairs.add(pair)
      client.on('data', (data) => target.write(data))
      target.on('data', (data) => {
        if (!proxy.#drops(data.toString('latin1'))) client.write(data)
      })
      for (const [socket, other] of [pair, [target, client]] as const) {
        socket.on('error', () => undefined)
        socket.on('close', () => {
          pairs.delete(pair)
          other.destroy()
        })
      }
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no TCP address')
    const proxy = new TcpProxy(server, pairs, address.port)
    return proxy
  }

  /** Connections that are open at this moment. */
  get connections(): number {
    return this.#pairs.size
  }

  /** The connections of this moment as the server sees them: `address:port`. */
  get clients(): string[] {
    return [...this.#pairs].map(([, target]) => `${target.localAddress}:${target.localPort}`)
  }

  /** Closes every connection; new ones are accepted. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy()
  }

  /** Half-open: the connections of this moment stay, but nothing gets through any more; new ones work. */
  silence(): void {
    for (const pair of this.#pairs) {
      for (const socket of pair) {
        socket.removeAllListeners('data')
        // Without a reader the kernel's buffers would fill up and the sender would notice.
        socket.resume()
      }
    }
  }

  /** Requests reach the server, its replies are thrown away until `restore`; with `text`, only those that hold it. */
  dropReplies(text = ''): void {
    this.#drops = (reply) => reply.includes(text)
  }

  restore(): void {
    this.#drops = () => false
  }

  /** Refuses connections until `accept`. */
  async refuse(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.cut()
    await closed
  }

  async accept(): Promise<void> {
    this.#server.listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  async close(): Promise<void> {
    if (this.#server.listening) await this.refuse()
  }
}
