import { once } from 'node:events'
import { connect, createServer, type Server } from 'node:net'

import { DataSource } from 'typeorm'
import { afterEach, expect, test } from 'vitest'

import { hearConnectionErrors } from '../../src/sync/postgres-pool.ts'
import { recordingLogger } from '../support/captured.ts'
import { testSpace, type TestSpace } from '../support/services.ts'

let space: TestSpace
let server: Server
let dataSource: DataSource

afterEach(async () => {
  await dataSource.destroy()
  server.close()
  await space.dispose()
})

// PostgreSQL's ReadyForQuery, the end of its greeting.
const ready = Buffer.from('Z\0\0\0\x05I', 'latin1')

/**
 * A proxy to PostgreSQL that ends the next connection right after its greeting, and hands both over in one piece: what
 * a process reads that was paused meanwhile.
 */
async function endingProxy(url: string): Promise<{ port: number; endNext: () => Promise<void> }> {
  const { hostname, port } = new URL(url)
  let armed: (() => void) | undefined
  server = createServer((client) => {
    const target = connect(Number(port), hostname)
    let held: Buffer[] | undefined
    let handedOver: () => void
    client.on('data', (data) => target.write(data))
    target.on('data', (data) => {
      if (armed !== undefined && held === undefined && data.includes(ready)) {
        held = []
        handedOver = armed
        armed = undefined
        void terminate(target.localPort!)
      }
      if (held === undefined) client.write(data)
      else held.push(data)
    })
    target.on('close', () => {
      if (held !== undefined) {
        client.end(Buffer.concat(held))
        handedOver()
      } else client.destroy()
    })
    client.on('close', () => target.destroy())
    client.on('error', () => undefined)
    target.on('error', () => undefined)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address() as { port: number }
  return {
    port: address.port,
    endNext: () => new Promise((resolve) => (armed = resolve)),
  }

  async function terminate(clientPort: number): Promise<void> {
    const direct = await new DataSource({ type: 'postgres', url }).initialize()
    await direct.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_port = $1', [
      clientPort,
    ])
    await direct.destroy()
  }
}

test('a connection that ends before TypeORM listens to it ends no process', async () => {
  space = await testSpace()
  const { port, endNext } = await endingProxy(space.databaseUrl)
  const url = new URL(space.databaseUrl)
  url.hostname = '127.0.0.1'
  url.port = String(port)
  dataSource = await new DataSource({ type: 'postgres', url: url.href, poolSize: 2 }).initialize()
  hearConnectionErrors(dataSource, recordingLogger([]))
  const first = dataSource.createQueryRunner()
  await first.query('SELECT 1')
  const ended = endNext()
  // The pool must open another connection for it. An error that nobody hears fails the run of the tests.
  await expect(dataSource.query('SELECT 1')).rejects.toThrow(/terminat|not queryable|ended/i)
  await ended
  await first.release()
  expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }])
})
