import type { Client } from '@elastic/elasticsearch'
import type { Redis } from 'ioredis'
import type { DataSource } from 'typeorm'
import { expect } from 'vitest'

import { cityDatabase, documentOf, indexName, type CityRow } from '../../fixtures/process/city.ts'
import { gateKeys } from '../../fixtures/process/gate.ts'
import type { CaptureMode } from '../../../src/capture/modes.ts'
import { Redstream } from '../../../src/redstream.ts'
import { settingsFrom } from '../../../src/runtime/settings.ts'
import { partitionsOf, type Lane, type Partition } from '../../../src/streams/keys.ts'
import { decodeMessages } from '../../../src/streams/message.ts'
import { defineScripts } from '../../../src/streams/scripts.ts'
import { openPipeline } from '../../../src/sync/pipeline.ts'
import { recordingLogger } from '../../support/captured.ts'
import { testSpace, type TestSpace } from '../../support/services.ts'
import { Program, waitUntil } from './program.ts'

/** Stops a Consumer between reading its rows and sending them. */
export interface Gate {
  /** For the environment of the process that shall wait at it. */
  readonly env: Readonly<Record<string, string>>
  /** Resolves when a process waits at it. */
  reached(): Promise<void>
  /** Lets through who waits, and all who come later. */
  open(): Promise<void>
}

/**
 * One test's application and its servers' corner: the table, its index, its streams, and the processes that the test
 * starts. The test's own process is an application as well: `redstream` is attached to `dataSource`.
 */
export class World {
  readonly space: TestSpace
  readonly dataSource: DataSource
  readonly City: new () => CityRow
  readonly redstream: Redstream
  readonly redis: Redis
  readonly client: Client
  readonly index: string
  readonly partitions: readonly Partition[]
  readonly capture: CaptureMode
  /** Where the database has what captures changes. */
  readonly captureSchema: string
  readonly #programs: Program[] = []
  #gates = 0

  private constructor(
    space: TestSpace,
    database: ReturnType<typeof cityDatabase>,
    redstream: Redstream,
    partitions: number,
    capture: CaptureMode,
  ) {
    this.capture = capture
    this.space = space
    this.captureSchema = captureSchemaOf(space)
    this.dataSource = database.dataSource
    this.City = database.City
    this.redstream = redstream
    this.redis = space.redis()
    defineScripts(this.redis)
    // A test that kills Redis waits until this client has found it again.
    this.redis.on('error', () => undefined)
    this.client = space.elasticsearch()
    this.index = indexName(space.namespace)
    this.partitions = partitionsOf(space.namespace, this.index, partitions)
  }

  /** A world with an empty table, an empty index and empty streams. */
  static async open({
    partitions = 1,
    capture = 'subscriber',
  }: { partitions?: number; capture?: CaptureMode } = {}): Promise<World> {
    const space = await testSpace()
    const { namespace, databaseUrl, redisUrl } = space
    const database = cityDatabase({ databaseUrl, space: namespace, partitions })
    const { dataSource } = database
    await dataSource.initialize()
    await dataSource.synchronize()
    const captured = { namespace, capture, captureSchema: captureSchemaOf(space) }
    const settings = settingsFrom(captured)
    const elasticsearch = space.elasticsearchUrl
    const pipeline = await openPipeline(
      { dataSource, redis: redisUrl, elasticsearch, settings },
      recordingLogger([]),
    )
    await pipeline.database.apply()
    await pipeline.init()
    await pipeline.close()
    const redstream = await Redstream.attach(dataSource, {
      redis: redisUrl,
      ...captured,
      logger: recordingLogger([]),
    })
    return new World(space, database, redstream, partitions, capture)
  }

  /** Ends the processes, and removes everything. */
  async dispose(): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.kill()))
    await this.redstream.close()
    await this.dataSource.query(`DROP SCHEMA IF EXISTS ${this.captureSchema} CASCADE`)
    await this.dataSource.destroy()
    await this.space.dispose()
  }

  /** Starts `redstream COMMAND` and waits until its workers run. */
  async start(command: string, env: Readonly<Record<string, string>> = {}): Promise<Program> {
    const program = this.launch(command, env)
    await program.logged('workers are running')
    return program
  }

  /** Starts `redstream COMMAND`. */
  launch(command: string, env: Readonly<Record<string, string>> = {}): Program {
    const [name = '', ...flags] = command.split(' ')
    const config = 'test/fixtures/process/redstream.config.ts'
    const args = [name, '--config', config, '--log-level', 'debug', ...flags]
    return this.run(`redstream ${command}`, 'bin/redstream.js', args, env)
  }

  /** Starts the application with one of its scenarios. */
  application(scenario: string, env: Readonly<Record<string, string>> = {}): Program {
    return this.run(`the application (${scenario})`, 'test/fixtures/process/application.ts', [scenario], env)
  }

  /** Starts a file of the project. */
  run(
    name: string,
    file: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Program {
    const { databaseUrl, redisUrl, elasticsearchUrl, namespace } = this.space
    const program = new Program(name, file, args, {
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl,
      ELASTICSEARCH_URL: elasticsearchUrl,
      TEST_SPACE: namespace,
      TEST_PARTITIONS: String(this.partitions.length),
      REDSTREAM_CAPTURE: this.capture,
      REDSTREAM_CAPTURE_SCHEMA: this.captureSchema,
      ...env,
    })
    this.#programs.push(program)
    return program
  }

  /** A gate that is closed. */
  gate(): Gate {
    const gate = `${this.space.namespace}:gate:${this.#gates++}`
    const { waiting, open } = gateKeys(gate)
    return {
      env: { TEST_GATE: gate },
      reached: () =>
        waitUntil(
          async () => (await this.redis.exists(waiting)) === 1,
          () => 'nobody has come to the gate',
        ),
      open: async () => {
        await this.redis.xadd(open, '*', 'open', 'yes')
      },
    }
  }

  /** A city that is not saved. */
  city(id: number, name: string, population = 0): CityRow {
    return Object.assign(new this.City(), { id, name, population })
  }

  /** Saves cities, with ids from `first` on, in one transaction. */
  async saveCities(count: number, name: string, first = 1): Promise<void> {
    await this.dataSource.manager.save(Array.from({ length: count }, (_, i) => this.city(first + i, name, i)))
  }

  /** Row keys in a stream, in order, one partition after the other. */
  async ids(stream: Lane | 'delay'): Promise<string[]> {
    const all = await Promise.all(
      this.partitions.map(({ keys }) => this.redis.xrange(keys[stream], '-', '+')),
    )
    return all.flat().flatMap(([, fields]) => decodeMessages(fields).map(({ id }) => id))
  }

  /** Entries of the main lane that members of the group "index" hold, and the names of the members. */
  async group(): Promise<{ pending: number; members: string[] }> {
    const { main } = this.partitions[0]!.keys
    const [pending] = await this.redis.xpending(main, 'index')
    const members = (await this.redis.xinfo('CONSUMERS', main, 'index')) as unknown[][]
    return { pending: Number(pending), members: members.map((member) => String(member[1])) }
  }

  /** The document of a city, in real time, or undefined. */
  async document(id: number): Promise<Record<string, unknown> | undefined> {
    const found = await this.client.get<Record<string, unknown>>(
      { index: this.index, id: String(id) },
      { ignore: [404] },
    )
    return found._source
  }

  /** Entries in the delay streams. */
  async delayed(): Promise<number> {
    const lengths = await Promise.all(this.partitions.map(({ keys }) => this.redis.xlen(keys.delay)))
    return lengths.reduce((sum, length) => sum + length, 0)
  }

  /** Waits until no delay message is left and every group has done everything. */
  async caughtUp(): Promise<void> {
    await waitUntil(
      async () => (await this.delayed()) === 0,
      () => 'delay messages are left',
    )
    await this.redstream.drained({ timeout: 40_000 })
  }

  /** Compares every row with its document, both ways; returns the number of rows. */
  async expectInSync(): Promise<number> {
    await this.client.indices.refresh({ index: this.index })
    const found = await this.client.search<Record<string, unknown>>({ index: this.index, size: 10_000 })
    const documents = Object.fromEntries(found.hits.hits.map(({ _id, _source }) => [_id, _source]))
    const rows = await this.dataSource.manager.find(this.City)
    expect(documents).toEqual(Object.fromEntries(rows.map((row) => [String(row.id), documentOf(row)])))
    return rows.length
  }
}

function captureSchemaOf({ schema }: TestSpace): string {
  return `${schema}_o`
}
