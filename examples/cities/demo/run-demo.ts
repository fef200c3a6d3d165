import { randomBytes } from 'node:crypto'

import { redactSecrets } from '../../../src/runtime/secrets.ts'
import { startServices, type Services, type ServiceSource } from '../../../services/services.ts'
import type { Comparison } from './comparison.ts'
import { exitCodeOf, untilAborted, watchSignals } from './interruption.ts'
import { importApplication } from './loader.ts'
import { formatCount, formatTime, Screen } from './screen.ts'
import { credits, readSourceData } from './source-data.ts'
import { Workers } from './workers.ts'
import { removeWorkspace, workspaceFor, type Workspace } from './workspace.ts'

export interface DemoOptions {
  /** Leave everything running in the end, until a signal comes. */
  readonly keep: boolean
  /** So many cities; undefined: all. */
  readonly cities?: number | undefined
}

/**
 * Plays the demo and cleans up after it, however it ends.
 *
 * @returns the exit code: 0 when rows and documents are the same, 1 when not or when a step failed, 128 and the
 * signal's number when it was interrupted
 */
export async function runDemo({ keep, cities }: DemoOptions): Promise<number> {
  const screen = new Screen(process.stdout)
  const signal = watchSignals()
  const cleanUps: (() => Promise<unknown>)[] = []
  // The guards do not keep this process alive, and at times there is nothing else to wait for.
  const keepAlive = setInterval(() => undefined, 60_000)
  try {
    const begin = performance.now()
    const data = await readSourceData(cities)
    screen.heading(
      `Redstream demo: ${formatCount(data.cities.length)} cities, PostgreSQL -> Redis Streams -> Elasticsearch`,
    )
    for (const credit of credits) screen.line(credit)

    const services = await findServers(screen, signal)
    cleanUps.unshift(() => services.stop())
    const workspace = workspaceFor(services, randomBytes(3).toString('hex'))
    // Read by the entities and the DataSource, as in any application.
    Object.assign(process.env, workspace.environment)
    if (Object.values(services.source).includes('environment')) {
      const { schema, namespace, index } = workspace
      screen.line(
        `Used there and removed in the end: schema ${schema}, Redis keys ${namespace}:*, index ${index}.`,
      )
    }
    cleanUps.unshift(() => removeWorkspace(services, workspace))
    const workers = new Workers({ ...definedEnvironment(), ...workspace.environment })
    cleanUps.unshift(async () => {
      for (const complaint of await workers.stop()) complain(complaint)
    })

    const { tell } = await importApplication<typeof import('./story.ts')>(
      new URL('story.ts', import.meta.url),
    )
    const comparison = await tell({ screen, signal, workspace, workers, data })
    screen.line(`The whole demo took ${formatTime(performance.now() - begin)}.`)
    if (keep) showAddresses(screen, services, workspace, workers)
    screen.plain('')
    screen.plain(resultLine(comparison))
    if (keep) {
      await untilAborted(signal).catch(() => undefined)
      complain('cleaning up')
    }
    return comparison.differences === 0 ? 0 : 1
  } catch (error) {
    complain(
      signal.aborted ? 'interrupted, cleaning up' : `${screen.currentStep} failed: ${messageOf(error)}`,
    )
    return signal.aborted ? exitCodeOf(signal) : 1
  } finally {
    for (const cleanUp of cleanUps) await cleanUp().catch((error: unknown) => complain(messageOf(error)))
    clearInterval(keepAlive)
  }
}

/** `171,070 rows, 171,070 documents, 0 differences` */
export function resultLine({ rows, documents, differences }: Comparison): string {
  return `${formatCount(rows)} rows, ${formatCount(documents)} documents, ${formatCount(differences)} differences`
}

async function findServers(screen: Screen, signal: AbortSignal): Promise<Services> {
  screen.step(
    'Servers',
    'PostgreSQL, Redis and Elasticsearch are real servers, on ports and with data of their own. What the environment ' +
      'names is used as it is; the rest is started now and thrown away in the end.',
  )
  const services = await Promise.race([
    startServices({ progress: (line) => screen.line(line) }),
    untilAborted(signal),
  ])
  const { source } = services
  screen.line(
    `PostgreSQL ${origin[source.postgres]}, Redis ${origin[source.redis]}, Elasticsearch ${origin[source.elasticsearch]}`,
  )
  return services
}

const origin: Record<ServiceSource, string> = {
  environment: 'of the environment',
  compose: 'from docker compose',
  embedded: 'started',
}

function showAddresses(screen: Screen, services: Services, workspace: Workspace, workers: Workers): void {
  screen.step('Keep', 'Everything is left running; Ctrl-C stops it. These are the addresses:')
  const { source } = services
  // The password of a server that was started here is no secret; that of the user's own one is.
  const isOwn = Object.values(source).every((origin) => origin !== 'environment')
  for (const [name, value] of Object.entries(workspace.environment)) {
    screen.plain(`${name}=${isOwn ? value : redactSecrets(value)}`)
  }
  screen.line('With them in the environment:')
  screen.line(`  curl "$ELASTICSEARCH_URL/${workspace.index}/_search?q=name:vienna&pretty"`)
  screen.line('  node bin/redstream.js status --config examples/cities/redstream.config.ts')
  screen.line('The logs of the workers:')
  for (const { command, logFile } of workers.processes) screen.line(`  redstream ${command}: ${logFile}`)
}

function definedEnvironment(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}

function complain(message: string): void {
  process.stderr.write(`demo: ${redactSecrets(message)}\n`)
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    const reasons = error.errors.map(messageOf).join('; ')
    return error.message === '' ? reasons : `${error.message}: ${reasons}`
  }
  return error instanceof Error ? error.message : String(error)
}
