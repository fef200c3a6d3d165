import { RedstreamError } from '../errors.ts'
import { judgeLive, judgeReady, type Verdict, type WatchedWorker } from '../runtime/health.ts'
import { parseListenAddress, serveHttp, type Answer } from '../runtime/http.ts'
import { formatValue } from '../runtime/option-values.ts'
import { options } from '../runtime/options.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Settings } from '../runtime/settings.ts'
import type { Worker } from '../runtime/worker.ts'
import type { Pipeline } from '../sync/pipeline.ts'
import { messageOf } from './report-error.ts'

/** What `/health/live`, `/health/ready` and `/metrics` speak of. */
export interface Observed {
  readonly pipeline: Pipeline
  readonly workers: readonly Worker[]
  readonly settings: Settings
  readonly logger: Logger
}

/**
 * Serves health and metrics of this process while `work` is done, on the address of the setting `http`; nothing but
 * `work` when there is none. They answer until the last batch is finished; from the stop on, the process is not ready.
 *
 * @throws RedstreamError HTTP when the address cannot be used, CONFIG when stallAfter is too short
 */
export async function withEndpoints<T>(
  observed: Observed,
  stopping: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const { settings, logger } = observed
  if (settings.http === '') return work()
  checkStallAfter(settings)
  const paths = await pathsOf(observed, stopping)
  const server = await serveHttp(parseListenAddress(settings.http), paths, logger)
  logger.info({ url: server.url, paths: [...paths.keys()] }, 'health and metrics are served')
  try {
    return await work()
  } finally {
    await server.close()
  }
}

async function pathsOf(
  { pipeline, workers, settings }: Observed,
  stopping: AbortSignal,
): Promise<ReadonlyMap<string, () => Promise<Answer>>> {
  // Nobody else needs it, and it takes a while to load.
  const { Metrics } = await import('../runtime/metrics.ts')
  // A worker that serves all streams names none.
  const served = [...new Set(workers.flatMap(({ stream }) => stream || []))]
  const metrics = new Metrics(pipeline.events, served)
  const watched = (): WatchedWorker[] =>
    workers.map(({ kind, name, progress }) => ({ kind, name, ...progress.report() }))
  return new Map<string, () => Promise<Answer>>([
    ['/health/live', async () => answerOf(judgeLive(watched(), settings.stallAfterMs))],
    [
      '/health/ready',
      async () => {
        const redisProblem = await pipeline.check().then(() => undefined, messageOf)
        return answerOf(judgeReady(watched(), { redisProblem, stopping: stopping.aborted }))
      },
    ],
    [
      '/metrics',
      async () => {
        const status = await pipeline.status().catch(() => undefined)
        const body = await metrics.scrape(status, await pipeline.kindsNeeded())
        return { status: 200, type: metrics.contentType, body }
      },
    ],
  ])
}

function answerOf(verdict: Verdict): Answer {
  return {
    status: verdict.ok ? 200 : 503,
    type: 'application/json',
    body: `${JSON.stringify(verdict, null, 2)}\n`,
  }
}

/** A worker says nothing while it waits for an answer, so that a shorter stallAfter would take every outage for a stall. */
function checkStallAfter({ stallAfterMs, requestTimeoutMs, redisTimeoutMs }: Settings): void {
  if (stallAfterMs > Math.max(requestTimeoutMs, redisTimeoutMs)) return
  const shown = (name: 'stallAfterMs' | 'requestTimeoutMs' | 'redisTimeoutMs', value: number): string =>
    `${options[name].key} (${formatValue(options[name], value)})`
  throw new RedstreamError(
    'CONFIG',
    `${shown('stallAfterMs', stallAfterMs)} must be longer than ${shown('requestTimeoutMs', requestTimeoutMs)} and ` +
      `${shown('redisTimeoutMs', redisTimeoutMs)}: an answer may take as long, and /health/live would call it a stall`,
  )
}
