import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { Client } from '@elastic/elasticsearch'
import { Redis } from 'ioredis'
import { DataSource } from 'typeorm'

import { startServices, type Services } from '../services/services.ts'
import type { CaptureMode } from '../src/capture/modes.ts'
import { Redstream } from '../src/redstream.ts'
import { partitionsOf } from '../src/streams/keys.ts'
import { defineScripts } from '../src/streams/scripts.ts'
import { streamStatus, type StreamStatus } from '../src/streams/inspect.ts'
import { captureSchema, entities, partitions, space } from './entities.ts'
import { fillCities, fillProducts } from './rows.ts'

export interface WorkerProcess {
  readonly pid: number
  /** Highest resident memory so far, in MiB; undefined where /proc is missing. */
  peakMiB(): Promise<number | undefined>
  /** Processor time so far, in seconds; undefined where /proc is missing. */
  cpuSeconds(): Promise<number | undefined>
  /** Ends it with SIGTERM and waits until it has ended. */
  stop(): Promise<void>
}

/** USER_HZ, which is this on every Linux of today. */
const ticksPerSecond = 100

const root = fileURLToPath(new URL('..', import.meta.url))

/** The servers, the tables with their rows, and the application of one run. */
export class Site {
  readonly services: Services
  /** Without Redstream. */
  readonly plain: DataSource
  /** With Redstream attached. */
  readonly captured: DataSource
  readonly redstream: Redstream
  readonly redis: Redis
  readonly elasticsearch: Client
  readonly rows: number
  readonly #capture: CaptureMode
  readonly #workers = new Set<ChildProcess>()

  private constructor(
    services: Services,
    capture: CaptureMode,
    plain: DataSource,
    captured: DataSource,
    redstream: Redstream,
    rows: number,
  ) {
    this.services = services
    this.#capture = capture
    this.plain = plain
    this.captured = captured
    this.redstream = redstream
    this.rows = rows
    this.redis = new Redis(services.redisUrl)
    defineScripts(this.redis)
    this.elasticsearch = new Client({ node: services.elasticsearchUrl })
  }

  static async open(rows: number, capture: CaptureMode, progress: (line: string) => void): Promise<Site> {
    const services = await startServices({ progress })
    const connect = (): Promise<DataSource> =>
      new DataSource({
        type: 'postgres',
        url: services.databaseUrl,
        schema: space,
        entities,
        poolSize: 4,
      }).initialize()
    const plain = await connect()
    await plain.query(`DROP SCHEMA IF EXISTS "${space}" CASCADE`)
    await plain.query(`CREATE SCHEMA "${space}"`)
    await plain.synchronize()
    progress(`making ${rows} cities, as many places, and ${rows / 4} products`)
    await fillCities(plain, 'cities', rows)
    await fillCities(plain, 'places', rows)
    await fillProducts(plain, rows / 4)
    // What captures in the database must be there before the application.
    await runProgram(services, capture, 'init')
    const captured = await connect()
    const redstream = await Redstream.attach(captured, {
      redis: services.redisUrl,
      namespace: space,
      capture,
      captureSchema,
    })
    return new Site(services, capture, plain, captured, redstream, rows)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#workers].map((child) => end(child)))
    await this.redstream.close()
    await this.forget()
    await this.captured.destroy()
    await this.run('uninstall')
    await this.plain.query(`DROP SCHEMA "${space}" CASCADE`)
    await this.plain.destroy()
    this.redis.disconnect()
    await this.elasticsearch.close()
    await this.services.stop()
  }

  /** Removes every stream and index. */
  async forget(): Promise<void> {
    const keys = await this.redis.keys(`${space}:*`)
    if (keys.length > 0) await this.redis.del(keys)
    const indices = await this.elasticsearch.indices.get({ index: `${space}-*` }, { ignore: [404] })
    for (const index of Object.keys(indices)) {
      if (index.startsWith(`${space}-`)) await this.elasticsearch.indices.delete({ index })
    }
  }

  /** Streams and indices as they are before the first message. */
  async fresh(): Promise<void> {
    await this.forget()
    await this.run('init')
  }

  async status(index: string): Promise<StreamStatus> {
    return streamStatus(this.redis, partitionsOf(space, index, partitions))
  }

  /** Runs a command of the program to its end. */
  async run(command: string): Promise<void> {
    await runProgram(this.services, this.#capture, command)
  }

  /** Starts `redstream COMMAND` as a process of its own, and waits until its workers run. */
  async start(command: string): Promise<WorkerProcess> {
    const child = spawnProgram(this.services, this.#capture, command)
    this.#workers.add(child)
    const lines = createInterface({ input: child.stderr! })
    const started = new Promise<void>((resolve, reject) => {
      lines.on('line', (line) => {
        if (line.includes('workers are running')) resolve()
        else if (line.includes('"level":"error"')) process.stderr.write(`${line}\n`)
      })
      child.once('exit', (code) => reject(new Error(`redstream ${command} ended with ${code}`)))
    })
    // Who does not wait for it any more, because something else failed, is not to hear of this instead.
    started.catch(() => undefined)
    await started
    const pid = child.pid!
    return {
      pid,
      peakMiB: async () => {
        const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
        const found = /^VmHWM:\s+(\d+) kB/m.exec(status)
        return found === null ? undefined : Number(found[1]) / 1_024
      },
      cpuSeconds: async () => {
        const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
        // Fields 14 and 15, in ticks; the second one, the name, may hold anything up to its closing parenthesis.
        const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
        return fields && (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
      },
      stop: async () => {
        await end(child)
        this.#workers.delete(child)
      },
    }
  }
}

async function runProgram(services: Services, capture: CaptureMode, command: string): Promise<void> {
  const child = spawnProgram(services, capture, command)
  child.stderr?.resume()
  const [code] = (await once(child, 'exit')) as [number]
  if (code !== 0) throw new Error(`redstream ${command} ended with ${code}`)
}

function spawnProgram(services: Services, capture: CaptureMode, command: string): ChildProcess {
  const { databaseUrl, redisUrl, elasticsearchUrl } = services
  const args = ['bin/redstream.js', ...command.split(' '), '--config', 'bench/redstream.config.ts']
  const urls = { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl, ELASTICSEARCH_URL: elasticsearchUrl }
  return spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...urls, BENCH_SPACE: space, BENCH_CAPTURE: capture },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}
