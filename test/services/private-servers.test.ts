import { existsSync } from 'node:fs'
import net from 'node:net'

import { Redis } from 'ioredis'
import { createConnection } from 'mysql2/promise'
import { Client } from 'pg'
import { describe, expect, test } from 'vitest'

import { processTable, processTree } from '../../services/processes.ts'
import {
  startElasticsearch,
  startMariadb,
  startPostgres,
  startRedis,
  type ServerHandle,
} from '../../services/services.ts'
import { isRedstreamError } from '../../src/errors.ts'

function running(pids: readonly number[]): number[] {
  const all = new Set(processTable().map((entry) => entry.pid))
  return pids.filter((pid) => all.has(pid))
}

/** Kills it and starts it again: the same address, another process, and nothing of the old one is left. */
async function killAndRestart(server: ServerHandle): Promise<void> {
  const [url, pids] = [server.url, processTree(server.pid, processTable())]
  await server.kill()
  expect(running(pids)).toEqual([])
  await server.restart()
  expect(server.url).toBe(url)
  expect(running([server.pid])).toEqual([server.pid])
  expect(pids).not.toContain(server.pid)
}

async function stopForGood(server: ServerHandle): Promise<void> {
  const pids = processTree(server.pid, processTable())
  await Promise.all([server.stop(), server.stop()])
  expect(running(pids)).toEqual([])
  expect(existsSync(server.dataDir)).toBe(false)
  await expect(server.restart()).rejects.toThrow('stopped')
}

describe('Redis', () => {
  async function withClient<T>(url: string, use: (redis: Redis) => Promise<T>): Promise<T> {
    const redis = new Redis(url, { retryStrategy: () => null })
    redis.on('error', () => undefined)
    try {
      return await use(redis)
    } finally {
      redis.disconnect()
    }
  }

  test('with appendOnly keeps its data over a kill, and a password protects it', async () => {
    const server = await startRedis({
      appendOnly: true,
      password: 'p"s s\\w@rd',
      args: ['--maxmemory', '64mb'],
    })
    await withClient(server.url, (redis) => redis.set('key', 'value'))
    await killAndRestart(server)
    await withClient(server.url, async (redis) => {
      expect(await redis.get('key')).toBe('value')
      expect(await redis.config('GET', 'maxmemory')).toEqual(['maxmemory', String(64 * 1024 * 1024)])
    })
    const withoutPassword = `redis://127.0.0.1:${server.port}`
    await expect(withClient(withoutPassword, (redis) => redis.get('key'))).rejects.toThrow('NOAUTH')
    await stopForGood(server)
  })

  test('restart names a port that another program has taken meanwhile', async () => {
    const server = await startRedis()
    await server.kill()
    // It accepts connections and never answers.
    const intruder = net.createServer((socket) => socket.resume()).listen(server.port, '127.0.0.1')
    await new Promise((resolve) => intruder.once('listening', resolve))
    await expect(server.restart()).rejects.toThrow(
      `Redis cannot start: port ${server.port} is taken by another program`,
    )
    await new Promise((resolve) => intruder.close(resolve))
    await server.restart()
    await stopForGood(server)
  })

  test('a server that ends while starting is one message with the end of its log', async () => {
    await expect(startRedis({ args: ['--no-such-setting', '1'] })).rejects.toThrow(
      /^Redis ended with exit code 1 while starting\. The last lines of its log:\n[^]*no-such-setting/,
    )
  })
})

describe('PostgreSQL', () => {
  async function query(url: string, text: string): Promise<unknown[]> {
    const client = new Client({ connectionString: url })
    await client.connect()
    try {
      return (await client.query<Record<string, unknown>>(text)).rows
    } finally {
      await client.end()
    }
  }

  test('with fsync keeps what is committed over a kill', async () => {
    const server = await startPostgres({ fsync: true, maxConnections: 20, settings: { work_mem: '8MB' } })
    await query(server.url, `CREATE TABLE towns AS SELECT upper('żółw') AS name`)
    await killAndRestart(server)
    expect(await query(server.url, 'SELECT name FROM towns')).toEqual([{ name: 'ŻÓŁW' }])
    const settings = `SELECT setting FROM pg_settings WHERE name IN ('fsync', 'max_connections', 'wal_level', 'work_mem') ORDER BY name`
    const expected = ['on', '20', 'logical', '8192'].map((setting) => ({ setting }))
    expect(await query(server.url, settings)).toEqual(expected)
    await stopForGood(server)
  })

  test('a server that ends while starting is one message with the end of its log', async () => {
    await expect(startPostgres({ settings: { wal_level: 'loud' } })).rejects.toThrow(
      /^PostgreSQL ended with exit code 1 while starting\. The last lines of its log:\n[^]*wal_level/,
    )
  })
})

describe('MariaDB', () => {
  async function query(url: string, text: string): Promise<unknown> {
    const connection = await createConnection(url)
    try {
      const [rows] = await connection.query(text)
      return rows
    } finally {
      await connection.end()
    }
  }

  test('keeps its databases over a kill', async (context) => {
    const server = await startMariadb().catch((error: unknown) => {
      // Other systems than Debian have no package of it to unpack.
      if (isRedstreamError(error)) return context.skip(error.message)
      throw error
    })
    await query(server.url, 'CREATE DATABASE `żółw`')
    await killAndRestart(server)
    expect(await query(server.url, "SHOW DATABASES LIKE 'żółw'")).toHaveLength(1)
    await stopForGood(server)
  })
})

describe('Elasticsearch', () => {
  test(
    'with a password keeps its documents over a kill and refuses strangers',
    { timeout: 300_000 },
    async () => {
      const server = await startElasticsearch({ password: 'pässword:1', heapMiB: 384 })
      const { origin, password } = new URL(server.url)
      const authorization = `Basic ${Buffer.from(`elastic:${decodeURIComponent(password)}`).toString('base64')}`
      const headers = { authorization, 'content-type': 'application/json' }
      const stored = await fetch(`${origin}/towns/_doc/1`, {
        method: 'PUT',
        headers,
        body: '{"name":"Delft"}',
      })
      expect(stored.status).toBe(201)
      await killAndRestart(server)
      const read = (init: RequestInit): Promise<Response> => fetch(`${origin}/towns/_doc/1`, init)
      await expect.poll(async () => (await read({ headers })).status, { timeout: 30_000 }).toBe(200)
      expect(await (await read({ headers })).json()).toMatchObject({ _source: { name: 'Delft' } })
      expect((await read({})).status).toBe(401)
      await stopForGood(server)
    },
  )
})
