import type { DataSource } from 'typeorm'

import { pause } from '../../src/runtime/backoff.ts'
import type { Pipeline } from '../../src/sync/pipeline.ts'
import { City } from './place.ts'

/** Percentiles of the lag of live changes, in ms. */
export interface Lag {
  readonly p50: number
  readonly p95: number
  readonly max: number
}

/** Changes, adds and removes cities at a steady rate until it is told to stop; returns how often. */
export async function write(
  { manager }: DataSource,
  rows: number,
  perSecond: number,
  signal: AbortSignal,
): Promise<number> {
  const start = performance.now()
  let writes = 0
  while (!signal.aborted) {
    writes += 1
    const id = ((writes * 7_919) % rows) + 1
    const city = { id, name: `changed ${writes}`, country: 'XX', population: writes }
    if (writes % 10 === 0) await manager.save(City, { ...city, id: rows + writes })
    else if (writes % 10 === 5) {
      const found = await manager.findOneBy(City, { id })
      if (found !== null) await manager.remove(found)
    } else await manager.save(City, city)
    await pause(Math.max(0, start + (writes * 1_000) / perSecond - performance.now()), signal)
  }
  return writes
}

/** Looks at the lag of the main lane ten times a second until it is told to stop. */
export async function watchLag(pipeline: Pipeline, signal: AbortSignal): Promise<Lag> {
  const samples: number[] = []
  while (!signal.aborted) {
    samples.push((await pipeline.status()).streams[0]?.main.lagMs ?? 0)
    await pause(100, signal)
  }
  const sorted = samples.toSorted((a, b) => a - b)
  const at = (part: number): number => sorted[Math.floor((sorted.length - 1) * part)] ?? 0
  return { p50: at(0.5), p95: at(0.95), max: at(1) }
}
