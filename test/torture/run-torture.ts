import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import type { CaptureMode } from '../../src/capture/modes.ts'
import { captureSchemaOf } from './application/data-source.ts'
import { indexName, streamNames } from './application/entities.ts'
import { carrierOf, seesEverything } from './carriers.ts'
import { disturbCarriers, pauseCarriers } from './faults/carriers.ts'
import type { FaultContext, Tally } from './faults/context.ts'
import { killWorkers, killWriters, pauseConsumers } from './faults/processes.ts'
import { cutSessions, disturbElasticsearch, disturbRedis } from './faults/servers.ts'
import { finale } from './finale.ts'
import { unheardRows } from './outcome/audit.ts'
import { differences, type Difference } from './outcome/differences.ts'
import { documentsOf } from './outcome/documents.ts'
import { waitUntilDrained } from './outcome/drained.ts'
import { evidenceOf } from './outcome/evidence.ts'
import { expectedDocuments } from './outcome/expected.ts'
import { emptiness, isGood, type Report } from './outcome/report.ts'
import { leftInDatabase, thisMoment } from './outcome/left-in-database.ts'
import { tapStreams } from './outcome/stream-tap.ts'
import { readWorkerLogs } from './outcome/worker-logs.ts'
import { countWrites } from './outcome/writes.ts'
import { plan } from './plan.ts'
import { Crew, type Role } from './processes/crew.ts'
import { randomOf } from './random.ts'
import type { TcpProxy } from '../support/tcp-proxy.ts'
import { setStage, type Stage } from './stage.ts'

export interface TortureOptions {
  readonly seconds: number
  readonly seed: number
  readonly writers: number
  readonly consumers: number
  readonly capture: CaptureMode
  readonly sabotage?: string
}

const faults = {
  killWriters,
  killWorkers,
  pauseConsumers,
  pauseCarriers,
  disturbRedis,
  cutSessions,
  disturbCarriers,
  disturbElasticsearch,
}

/** Tortures, waits until everything is done, and compares. */
export async function runTorture(
  options: TortureOptions,
  progress: (line: string) => void,
  signal: AbortSignal,
): Promise<{ report: Report; wrong: Difference[] }> {
  const stage = await setStage(options, progress)
  const crew = hireFor(stage, options)
  const endTap = tapStreams(stage.redisServer.url, stage.partitions, path.join(stage.folder, 'streams.jsonl'))
  let good = false
  try {
    await crew.run('init', worker('init', 'application'))
    // Before a Trimmer may remove what the auditor's group has never seen.
    crew.hire('auditor', 1)
    await Promise.all([stage.seed(), crew.ready(signal)])
    for (const [role, count] of Object.entries(headcount(options)) as [Role, number][]) crew.hire(role, count)
    await crew.ready(signal)
    progress(`writing for ${options.seconds} s; logs and traces in ${stage.folder}`)
    const done = await makeFaults(stage, crew, options, signal)
    progress('waiting until everything is done')
    const { report, wrong } = await conclude(stage, crew, options, done, signal)
    good = isGood(report)
    if (good) return { report, wrong }
    const evidence = JSON.stringify(await evidenceOf(stage.folder, wrong), null, 2)
    await writeFile(path.join(stage.folder, 'differences.json'), evidence)
    return { report: { ...report, folder: stage.folder }, wrong }
  } finally {
    await crew.dismiss(everyone, (child) => child.kill())
    endTap()
    await stage.close()
    if (good || signal.aborted) await rm(stage.folder, { recursive: true, force: true })
  }
}

const everyone: readonly Role[] = [
  'writer',
  'stranger',
  'consumer',
  'delayer',
  'trimmer',
  'relay',
  'follower',
  'auditor',
]

function headcount({ writers, consumers, capture }: TortureOptions): Readonly<Partial<Record<Role, number>>> {
  const carrier = carrierOf[capture]
  return {
    consumer: consumers,
    delayer: plan.delayers,
    trimmer: plan.trimmers,
    ...(carrier === undefined ? {} : { [carrier]: plan.carriers }),
    writer: writers,
    ...(seesEverything(capture) ? { stranger: plan.strangers } : {}),
  }
}

function hireFor({ folder, env, databaseProxy }: Stage, { sabotage, capture }: TortureOptions): Crew {
  return new Crew({
    folder,
    env: (role) => ({
      ...env,
      ...(sabotage === undefined ? {} : { TORTURE_SABOTAGE: sabotage }),
      ...(role === carrierOf[capture]
        ? { DATABASE_URL: throughProxy(env['DATABASE_URL']!, databaseProxy) }
        : {}),
    }),
    command: (role, number, life) => {
      if (role === 'writer') return ['test/torture/application/writer.ts', String(number), String(life)]
      if (role === 'stranger') return ['test/torture/application/stranger.ts', String(number), String(life)]
      if (role === 'auditor') return ['test/torture/application/auditor.ts']
      return worker(role, role === 'consumer' && sabotage !== undefined ? 'sabotage' : 'application')
    },
  })
}

function throughProxy(url: string, { port }: TcpProxy): string {
  return Object.assign(new URL(url), { hostname: '127.0.0.1', port: String(port) }).href
}

function worker(command: string, folder: 'application' | 'sabotage'): string[] {
  return ['bin/redstream.js', command, '--config', `test/torture/${folder}/redstream.config.ts`]
}

/** The writing: faults until shortly before its end, then the finale. */
async function makeFaults(
  stage: Stage,
  crew: Crew,
  options: TortureOptions,
  stop: AbortSignal,
): Promise<Tally> {
  const done: Tally = {}
  const over = new AbortController()
  const signal = AbortSignal.any([over.signal, stop])
  const actors = Object.entries(faults).map(([name, act]) => {
    const context: FaultContext = {
      stage,
      crew,
      random: randomOf(options.seed, name),
      signal,
      count: (what) => {
        done[what] = (done[what] ?? 0) + 1
      },
    }
    return act(context)
  })
  // Whoever fails ends the others.
  const acting = Promise.all(actors).finally(() => over.abort())
  acting.catch(() => undefined)
  const { quiet, late, last } = plan.finaleMs
  const faultsMs = options.seconds * 1_000 - quiet - late - last
  await sleep(faultsMs, undefined, { signal }).catch(() => undefined)
  over.abort()
  await acting
  stop.throwIfAborted()
  await finale(stage, crew, randomOf(options.seed, 'finale'))
  return done
}

async function conclude(
  stage: Stage,
  crew: Crew,
  options: TortureOptions,
  done: Tally,
  signal: AbortSignal,
): Promise<{ report: Report; wrong: Difference[] }> {
  const { redis, partitions, elasticsearchProxy, folder, database, space } = stage
  const began = performance.now()
  await elasticsearchProxy.calmDown()
  const members = { index: options.consumers, cascade: options.consumers, audit: 1 }
  const now = await thisMoment(database)
  const leftBefore = () => leftInDatabase(database, options.capture, captureSchemaOf(space), now)
  const withinMs = plan.delayMs + plan.patienceMs
  const left = await waitUntilDrained(redis, partitions, members, { leftBefore, withinMs, signal })
  const drainSeconds = Math.round((performance.now() - began) / 1_000)
  await crew.dismiss(everyone, (child) => child.stop())
  signal.throwIfAborted()

  const wrong: Difference[] = []
  let rows = 0
  let documents = 0
  for (const stream of streamNames) {
    const index = indexName(stage.space, stream)
    const expected = await expectedDocuments(stage.database, stream)
    const found = await documentsOf(stage.elasticsearch, index)
    rows += expected.size
    documents += found.size
    wrong.push(...differences(index, expected, found))
  }
  const of = (kind: Difference['kind']): number =>
    wrong.filter((difference) => difference.kind === kind).length
  const unheard = await unheardRows(stage.database, folder)
  const writes = await countWrites(folder)
  const { healed, falseAlarms } = await readWorkerLogs(folder)
  const { sabotage, ...numbers } = options
  const report: Report = {
    ...numbers,
    ...(sabotage === undefined ? {} : { sabotage }),
    writes,
    faults: done,
    requests: elasticsearchProxy.treatments,
    healed,
    rows,
    documents,
    missing: of('missing'),
    stale: of('stale'),
    orphaned: of('orphaned'),
    unheard: unheard.length,
    left,
    problems: [
      ...crew.problems,
      ...falseAlarms,
      ...emptiness({ rows, writes }),
      ...unheard.slice(0, 5).map((row) => `the group "audit" has never heard of ${row}`),
    ],
    drainSeconds,
  }
  return { report, wrong }
}
