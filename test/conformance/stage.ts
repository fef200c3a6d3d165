import type { Client } from '@elastic/elasticsearch'
import { Pool } from 'pg'
import type { DataSource } from 'typeorm'
import { expect } from 'vitest'

import { Redstream } from '../../src/redstream.ts'
import { settingsFrom } from '../../src/runtime/settings.ts'
import type { WorkerKind } from '../../src/runtime/worker.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import type { VerifyReport } from '../../src/verify/report.ts'
import { verifyIndex } from '../../src/verify/verify.ts'
import { recordingLogger, type LogLine } from '../support/captured.ts'
import { removeCaptureObjects } from '../support/capture-objects.ts'
import { testSpace, type TestSpace } from '../support/services.ts'
import { differences, type Content, type Difference } from '../torture/outcome/differences.ts'
import { documentsOf } from '../torture/outcome/documents.ts'
import { expectedDocuments, inOrder } from './expected.ts'
import { done, Processes } from './processes/processes.ts'
import { aliasOf, Booking, indexNames, shopDatabase, type IndexName } from './shop.ts'
import { captureSchemaOf, settingsOf, type Witness } from './witness.ts'

/** An application that a witness watches, and its corner of the servers. */
export class Stage {
  readonly witness: Witness
  readonly space: TestSpace
  readonly dataSource: DataSource
  readonly redstream: Redstream
  readonly processes: Processes
  /** A way to the tables past TypeORM. */
  readonly database: Pool
  /** Of the application and of the workers. */
  readonly log: LogLine[]
  readonly #pipeline: Pipeline
  readonly #client: Client
  readonly #closers: (() => Promise<unknown>)[] = []
  #markers = 0

  private constructor(
    witness: Witness,
    space: TestSpace,
    application: Application,
    pipeline: Pipeline,
    processes: Processes,
    log: LogLine[],
  ) {
    this.witness = witness
    this.space = space
    this.dataSource = application.dataSource
    this.redstream = application.redstream
    this.log = log
    this.#pipeline = pipeline
    this.#client = space.elasticsearch()
    this.processes = processes
    this.database = new Pool({
      connectionString: space.databaseUrl,
      options: `-c search_path=${space.schema}`,
    })
    this.#closers.push(() => pipeline.close())
  }

  /** Empty tables, the witness in its place, and no workers. */
  static async open(witness: Witness): Promise<Stage> {
    const space = await testSpace()
    const { redisUrl: redis, elasticsearchUrl: elasticsearch, databaseUrl, schema } = space
    const dataSource = await shopDatabase(databaseUrl, schema).initialize()
    await dataSource.synchronize()
    const log: LogLine[] = []
    const pipeline = await openPipeline(
      { dataSource, redis, elasticsearch, settings: settingsFrom(settingsOf(witness, space.namespace)) },
      recordingLogger(log),
    )
    const processes = new Processes(space, witness.mode)
    await done(processes.command('init'))
    const redstream = await attach(witness, space, dataSource, log)
    return new Stage(witness, space, { dataSource, redstream }, pipeline, processes, log)
  }

  /** Starts the workers of some kinds in this process, until `dispose`. */
  work(...kinds: WorkerKind[]): void {
    const stopping = new AbortController()
    const runs = this.#pipeline.workers(kinds).map((worker) => worker.run(stopping.signal))
    this.#closers.push(async () => {
      stopping.abort()
      await Promise.all(runs)
    })
  }

  /** Another application on the same tables, until `dispose`. */
  async join(): Promise<Application> {
    const dataSource = await shopDatabase(this.space.databaseUrl, this.space.schema).initialize()
    const redstream = await attach(this.witness, this.space, dataSource, this.log)
    this.#closers.push(async () => {
      await redstream.close()
      await dataSource.destroy()
    })
    return { dataSource, redstream }
  }

  /** Waits until everything that was committed before this call has come to its end. */
  async drained(): Promise<void> {
    // A witness tells of commits in their order: when the last one has arrived, so have those before it.
    const room = 'marker'
    const day = ++this.#markers
    await this.dataSource.manager.save(Object.assign(new Booking(), { room, day, guest: '' }))
    await expect.poll(() => this.document('bookings', `${room}:${day}`), { interval: 10 }).toBeDefined()
    await this.redstream.drained()
  }

  /** What the database says that there must be in all indices. */
  async expected(): Promise<Record<string, Content>> {
    const all = await Promise.all(indexNames.map((name) => expectedDocuments(this.dataSource, name)))
    return Object.fromEntries(
      all.flatMap((documents, i) =>
        [...documents].map(([id, content]) => [`${indexNames[i]} ${id}`, content]),
      ),
    )
  }

  /** Rows and documents that do not agree, by a comparison that shares no code with Redstream. */
  async differences(): Promise<Difference[]> {
    const wrong: Difference[] = []
    for (const name of indexNames) {
      const found = await documentsOf(this.#client, this.index(name))
      const ordered = [...found].map(
        ([id, { content, version }]) => [id, { content: inOrder(content), version }] as const,
      )
      wrong.push(...differences(name, await expectedDocuments(this.dataSource, name), new Map(ordered)))
    }
    return wrong
  }

  /** What `redstream verify` says of each index. */
  async verify({ repair = false } = {}): Promise<VerifyReport[]> {
    const options = { scope: { kind: 'all' }, repair, examples: 5, patienceMs: 10_000 } as const
    const { signal } = new AbortController()
    const reports: VerifyReport[] = []
    for (const name of indexNames) {
      reports.push(await verifyIndex(this.#pipeline.site(this.index(name)), { ...options, signal }))
    }
    return reports
  }

  /** Everything that Redis has been told of, in all lanes of the indices. */
  async published(): Promise<number> {
    const inspections = await Promise.all(indexNames.map((name) => this.redstream.inspect(this.index(name))))
    const lanes = inspections.flat().flatMap(({ main, bulk }) => [main.length, bulk.length])
    return lanes.reduce((sum, length) => sum + length, 0)
  }

  /** Delay messages of open transactions, and of dead applications. */
  async delayed(): Promise<number> {
    const { streams } = await this.#pipeline.status()
    return streams.reduce((sum, { delay }) => sum + delay.length, 0)
  }

  /** A document as it is in the index, searchable or not. */
  async document(name: IndexName, id: string): Promise<Content | undefined> {
    const request = { index: this.index(name), id }
    return (await this.#client.get<Content>(request, { ignore: [404] }))._source
  }

  index(name: IndexName): string {
    return aliasOf(this.space.schema, name)
  }

  async dispose(): Promise<void> {
    await this.processes.killAll()
    for (const close of this.#closers.reverse()) await close()
    await this.redstream.close()
    await this.dataSource.destroy()
    await removeCaptureObjects(this.database, captureSchemaOf(this.space.schema))
    await this.database.end()
    await this.space.dispose()
  }
}

/** The application's side. */
export interface Application {
  readonly dataSource: DataSource
  readonly redstream: Redstream
}

function attach(
  witness: Witness,
  { redisUrl: redis, namespace }: TestSpace,
  dataSource: DataSource,
  log: LogLine[],
): Promise<Redstream> {
  return Redstream.attach(dataSource, {
    redis,
    logger: recordingLogger(log),
    ...settingsOf(witness, namespace),
  })
}
