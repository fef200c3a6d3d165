import { hostname } from 'node:os'
import { fileURLToPath } from 'node:url'

import { execa, type ResultPromise } from 'execa'

import { copyGroup } from '../../src/reindex/store.ts'
import { pause } from '../../src/runtime/backoff.ts'
import type { Pipeline } from '../../src/sync/pipeline.ts'
import { index, type Place } from './place.ts'

/** A worker process that was killed while rows were copied. */
export interface Kill {
  /** Rows that were copied then. */
  readonly rows: number
  /** Slices that it was copying. */
  readonly slices: number
}

type Child = ResultPromise<{ env: NodeJS.ProcessEnv; stderr: 'inherit' }>

const file = fileURLToPath(new URL('./process.ts', import.meta.url))
const lookEveryMs = 20

/** The processes of the version that declares another mapping. */
export class Crew {
  readonly #place: Place
  readonly #workers = new Set<Child>()
  #lost = 0

  constructor(place: Place) {
    this.#place = place
  }

  /** Workers that ended by themselves. */
  get lost(): number {
    return this.#lost
  }

  /** Starts a command that prints one JSON document when it is done. */
  async run<T>(...args: string[]): Promise<T> {
    const { stdout } = await this.#launch(args)
    return JSON.parse(stdout) as T
  }

  /** Starts a worker and waits until it runs. */
  async addWorker(): Promise<void> {
    const child = this.#launch(['worker'])
    this.#workers.add(child)
    const ended = (): void => {
      // Who ends it takes it from the crew before.
      if (this.#workers.delete(child)) this.#lost += 1
    }
    void child.then(ended, ended)
    await Promise.race([new Promise((resolve) => child.stdout.once('data', resolve)), child])
  }

  /**
   * Kills a worker that is copying a slice, each time another part of the rows is copied, and starts another one in its
   * place.
   *
   * @returns the kills; fewer than wanted when `signal` aborts before
   */
  async killWorkers(wanted: number, pipeline: Pipeline, signal: AbortSignal): Promise<Kill[]> {
    const { redis } = pipeline.site(index)
    const { store } = pipeline.reindexer(index)
    const slices = store.slicesPartition().keys.main
    const kills: Kill[] = []
    while (kills.length < wanted && !signal.aborted) {
      await pause(lookEveryMs, signal)
      const state = await store.read()
      if (state?.phase !== 'copying') continue
      const { rows } = await store.progress(state.id)
      if (rows < (state.rows * (kills.length + 1)) / (wanted + 1)) continue
      const pending = (await redis.xpending(slices, copyGroup, '-', '+', 1_000)) as [string, string][]
      const heldBy = ({ pid }: Child): number =>
        pending.filter(([, member]) => member.startsWith(`${hostname()}-${pid}-`)).length
      const victim = [...this.#workers].find((worker) => heldBy(worker) > 0)
      if (victim === undefined) continue
      kills.push({ rows, slices: heldBy(victim) })
      await this.#replace(victim)
    }
    return kills
  }

  /** Stops the workers and waits until they have ended. */
  async stop(): Promise<void> {
    const workers = [...this.#workers]
    this.#workers.clear()
    for (const worker of workers) worker.kill('SIGTERM')
    await Promise.allSettled(workers)
  }

  async #replace(worker: Child): Promise<void> {
    this.#workers.delete(worker)
    worker.kill('SIGKILL')
    await Promise.allSettled([worker])
    await this.addWorker()
  }

  #launch(args: readonly string[]): Child {
    const env = { BENCH_PLACE: JSON.stringify(this.#place), BENCH_NEWER: '1' }
    return execa(process.execPath, [file, ...args], { env, stderr: 'inherit' as const })
  }
}
