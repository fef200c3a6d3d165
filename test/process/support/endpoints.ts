import type { Verdict } from '../../../src/runtime/health.ts'
import type { Program } from './program.ts'

/** What a process answers on its --http address. */
export interface Endpoints {
  readonly url: string
  live(): Promise<Verdict & { status: number }>
  ready(): Promise<Verdict & { status: number }>
  metrics(): Promise<string>
}

/** The endpoints of a program that was started with `--http 0`. */
export async function endpointsOf(program: Program): Promise<Endpoints> {
  const { url } = await program.logged('health and metrics are served')
  const verdict = async (path: string): Promise<Verdict & { status: number }> => {
    const response = await fetch(`${String(url)}${path}`)
    return { status: response.status, ...((await response.json()) as Verdict) }
  }
  return {
    url: String(url),
    live: () => verdict('/health/live'),
    ready: () => verdict('/health/ready'),
    metrics: async () => (await fetch(`${String(url)}/metrics`)).text(),
  }
}

/** The worker of a kind in an answer. */
export function workerOf(verdict: Verdict, kind: string, name = ''): Verdict['workers'][number] {
  const found = verdict.workers.find((worker) => worker.kind === kind && worker.name.includes(name))
  if (found === undefined) throw new Error(`there is no ${kind} ${name} in ${JSON.stringify(verdict)}`)
  return found
}
