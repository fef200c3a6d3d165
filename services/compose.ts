import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import type { ErrorCode } from '../src/errors.ts'
import type { ServerCommand } from './guard-protocol.ts'
import { Guard } from './guarded.ts'
import { probeElasticsearch, probePostgres, probeRedis } from './probes.ts'
import { startServer, type ServerDefinition, type ServerHandle } from './server-handle.ts'

const FILE = fileURLToPath(new URL('../docker-compose.yml', import.meta.url))

interface ComposeService {
  readonly name: ServerDefinition['name']
  readonly service: string
  readonly portVariable: string
  readonly errorCode: ErrorCode
  readonly url: (port: number) => string
  readonly probe: (url: string) => Promise<unknown>
}

const services = {
  postgres: {
    name: 'PostgreSQL',
    service: 'postgres',
    portVariable: 'POSTGRES_PORT',
    errorCode: 'DATABASE',
    url: (port) => `postgres://postgres:postgres@127.0.0.1:${port}/postgres`,
    probe: probePostgres,
  },
  redis: {
    name: 'Redis',
    service: 'redis',
    portVariable: 'REDIS_PORT',
    errorCode: 'REDIS',
    url: (port) => `redis://127.0.0.1:${port}`,
    probe: probeRedis,
  },
  elasticsearch: {
    name: 'Elasticsearch',
    service: 'elasticsearch',
    portVariable: 'ELASTICSEARCH_PORT',
    errorCode: 'ELASTICSEARCH_UNAVAILABLE',
    url: (port) => `http://127.0.0.1:${port}`,
    probe: probeElasticsearch,
  },
} as const satisfies Record<string, ComposeService>

/** True when an engine answers quickly; a client without an engine, or a hanging one, counts as none. */
export async function composeAnswers(): Promise<boolean> {
  const run = promisify(execFile)
  try {
    await run('docker', ['info'], { timeout: 3000 })
    await run('docker', ['compose', 'version'], { timeout: 3000 })
    return true
  } catch {
    return false
  }
}

/** Starts one service of docker-compose.yml as a project of its own, so that several runs do not meet. */
export async function startWithCompose(key: keyof typeof services): Promise<ServerHandle> {
  const service: ComposeService = services[key]
  const project = `redstream-${service.service}-${randomBytes(4).toString('hex')}`
  const compose = (args: readonly string[], port: number): ServerCommand => ({
    file: 'docker',
    args: ['compose', '--project-name', project, '--file', FILE, ...args],
    env: { ...environment(), [service.portVariable]: String(port) },
  })
  const guard = await Guard.open({
    folderPrefix: path.join(os.tmpdir(), `${project}-`),
    endSignal: 'SIGTERM',
    cleanup: compose(['down', '--volumes'], 0),
  })
  return startServer({
    name: service.name,
    errorCode: service.errorCode,
    guard,
    command: (port) => compose(['up', '--no-color', service.service], port),
    url: service.url,
    probe: async (url) => {
      await service.probe(url)
    },
    portTaken: /port is already allocated|address already in use/,
    stopSignal: 'SIGTERM',
    // The image may have to be downloaded first.
    readyWithinMs: 600_000,
  })
}

function environment(): Record<string, string> {
  const entries = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  )
  return Object.fromEntries(entries)
}
