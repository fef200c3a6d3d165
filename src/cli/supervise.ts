import type { Logger } from '../runtime/logger.ts'
import type { Worker } from '../runtime/worker.ts'

/** What is needed of a worker to run it. */
export type Runnable = Pick<Worker, 'kind' | 'name' | 'run'>

/**
 * Runs workers side by side until `signal` aborts. When one of them cannot go on, the others are stopped too: whoever
 * started the process shall see that it ended, and start it again.
 *
 * @returns whether every worker ran until it was stopped
 */
export async function supervise(
  workers: readonly Runnable[],
  signal: AbortSignal,
  logger: Logger,
): Promise<boolean> {
  const failure = new AbortController()
  const stop = AbortSignal.any([signal, failure.signal])
  const run = async (worker: Runnable): Promise<void> => {
    const { kind, name } = worker
    try {
      await worker.run(stop)
      if (stop.aborted) return
      logger.error({ kind, worker: name }, `the ${kind} ${name} ended by itself; stopping the others`)
    } catch (error) {
      logger.error(
        { kind, worker: name, err: error },
        `the ${kind} ${name} cannot go on; stopping the others`,
      )
    }
    failure.abort()
  }
  await Promise.all(workers.map(run))
  return !failure.signal.aborted
}
