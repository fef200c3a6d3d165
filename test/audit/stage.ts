import { randomBytes } from 'node:crypto'

import { Column, DataSource, Entity, JoinColumn, ManyToOne, PrimaryGeneratedColumn } from 'typeorm'

import type { AuditReport } from '../../src/audit/report.ts'
import type { ShadowMode } from '../../src/audit/shadow.ts'
import { Indexed } from '../../src/indexed.ts'
import { Redstream } from '../../src/redstream.ts'
import { settingsFrom } from '../../src/runtime/settings.ts'
import { openPipeline, type Pipeline } from '../../src/sync/pipeline.ts'
import { recordingLogger, type LogLine } from '../support/captured.ts'
import { testSpace, type TestSpace } from '../support/services.ts'

/** PostgreSQL makes a slot when every transaction has ended that was open, those of other tests included; in ms. */
export const slotTimeout = 180_000

export interface CountryRow {
  id: number
  name: string
}

export interface CityRow {
  id: number
  name: string
  country: CountryRow
}

/** An application with its pipeline, and names of its own for what audits make. */
export interface AuditedApplication {
  readonly space: TestSpace
  readonly dataSource: DataSource
  readonly redstream: Redstream
  readonly pipeline: Pipeline
  readonly captureSchema: string
  readonly log: LogLine[]
  /** Starts an audit; resolves when its shadow follows. */
  audit(against: ShadowMode, graceMs?: number): Promise<RunningAudit>
  dispose(): Promise<void>
}

/** Cities of countries, and some notes. */
export interface Stage extends AuditedApplication {
  readonly Country: new () => CountryRow
  readonly City: new () => CityRow
  readonly Note: new () => CountryRow
}

export interface RunningAudit {
  /** Resolves when so many changes were seen. */
  seen(changes: number): Promise<void>
  /** Ends it, and resolves with what it found. */
  finish(): Promise<AuditReport>
}

export async function auditStage(): Promise<Stage> {
  const space = await testSpace()
  const { indexPrefix } = space

  @Indexed<Country>({ index: `${indexPrefix}countries` })
  @Entity({ name: 'countries' })
  class Country implements CountryRow {
    @PrimaryGeneratedColumn({ type: 'integer' }) id!: number
    @Column({ type: 'text' }) name!: string
  }

  @Indexed<City>({ index: `${indexPrefix}cities`, partitions: 2, relations: { country: true } })
  @Entity({ name: 'cities' })
  class City implements CityRow {
    @PrimaryGeneratedColumn({ type: 'integer' }) id!: number
    @Column({ type: 'text' }) name!: string
    @ManyToOne(() => Country, { onDelete: 'CASCADE', nullable: false })
    @JoinColumn({ name: 'country_id' })
    country!: Country
  }

  @Indexed<Note>({ index: `${indexPrefix}notes` })
  @Entity({ name: 'notes' })
  class Note implements CountryRow {
    @PrimaryGeneratedColumn({ type: 'integer' }) id!: number
    @Column({ type: 'text' }) name!: string
  }

  return { ...(await auditApplication(space, [Country, City, Note])), Country, City, Note }
}

/**
 * An application with these entities.
 *
 * @param auditorRedis - where the audit finds Redis, if that is another address
 */
export async function auditApplication(
  space: TestSpace,
  entities: (new () => object)[],
  auditorRedis = space.redisUrl,
): Promise<AuditedApplication> {
  const { namespace } = space
  const captureSchema = `a${randomBytes(6).toString('hex')}`
  const dataSource = await new DataSource({
    ...space.dataSourceOptions(entities),
    synchronize: true,
  }).initialize()
  const log: LogLine[] = []
  const redstream = await Redstream.attach(dataSource, {
    redis: space.redisUrl,
    namespace,
    captureSchema,
    logger: recordingLogger([]),
  })
  const pipeline = await openPipeline(
    {
      dataSource,
      redis: auditorRedis,
      elasticsearch: space.elasticsearchUrl,
      settings: settingsFrom({ namespace, captureSchema }),
    },
    recordingLogger(log),
    { elasticsearch: false },
  )
  return {
    space,
    dataSource,
    redstream,
    pipeline,
    captureSchema,
    log,
    audit: (against, graceMs = 5_000) => startAudit(pipeline, against, graceMs),
    dispose: async () => {
      await pipeline.close()
      await redstream.close()
      await dataSource.query(`DROP SCHEMA IF EXISTS ${captureSchema}_audit CASCADE`)
      await dataSource.destroy()
      await space.dispose()
    },
  }
}

async function startAudit(pipeline: Pipeline, against: ShadowMode, graceMs: number): Promise<RunningAudit> {
  const ending = new AbortController()
  const started = Promise.withResolvers<void>()
  const waiting: { readonly changes: number; readonly resolve: () => void }[] = []
  let last = 0
  const report = pipeline.audit({
    against,
    forMs: 600_000,
    graceMs,
    signal: ending.signal,
    onProgress: ({ changes }) => {
      started.resolve()
      last = changes
      for (const one of waiting) if (changes >= one.changes) one.resolve()
    },
  })
  report.catch((error: unknown) => {
    started.reject(error)
  })
  await started.promise
  return {
    seen: (changes) => {
      const { promise, resolve } = Promise.withResolvers<void>()
      if (last >= changes) resolve()
      else waiting.push({ changes, resolve })
      return Promise.race([promise, report.then(() => undefined)])
    },
    finish: () => {
      ending.abort()
      return report
    },
  }
}
