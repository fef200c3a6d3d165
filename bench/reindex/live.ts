import type { DataSource } from 'typeorm'

import { pause } from '../../src/runtime/backoff.ts'
import type { Pipeline } from '../../src/sync/pipeline.ts'
import { quantile } from '../statistics.ts'
import { City } from './place.ts'
import { isResting } from './rows.ts'

/** What was written. */
export interface Writes {
  changed: number
  added: number
  removed: number
  perSecond: number
}

/** Percentiles of the lag of live changes, in ms. */
export interface Lag {
  readonly p50: number
  readonly p95: number
  readonly max: number
}

const writers = 4

/**
 * Changes, adds and removes cities at a steady rate until it is told to stop: of ten writes eight change a row (or put
 * a removed one back), one adds and one removes.
 */
export async function write(
  { manager }: DataSource,
  rows: number,
  perSecond: number,
  signal: AbortSignal,
): Promise<Writes> {
  const done = { changed: 0, added: 0, removed: 0 }
  const one = async (number: number): Promise<void> => {
    const id = writableId(number, rows)
    const city = { id, name: `changed ${number}`, country: 'XX', population: number }
    if (number % 10 === 0) {
      await manager.save(City, { ...city, id: rows + number })
      done.added += 1
    } else if (number % 10 === 5) {
      const found = await manager.findOneBy(City, { id })
      if (found === null) return
      await manager.remove(found)
      done.removed += 1
    } else {
      await manager.save(City, city)
      done.changed += 1
    }
  }
  const start = performance.now()
  let begun = 0
  const writer = async (): Promise<void> => {
    while (!signal.aborted) {
      begun += 1
      const dueAt = start + (begun * 1_000) / perSecond
      await one(begun)
      await pause(Math.max(0, dueAt - performance.now()), signal)
    }
  }
  await Promise.all(Array.from({ length: writers }, writer))
  const seconds = (performance.now() - start) / 1_000
  return { ...done, perSecond: Math.round((done.changed + done.added + done.removed) / seconds) }
}

/** The row of a write: all over the table, but none of those that rest. */
function writableId(number: number, rows: number): number {
  const id = ((number * 7_919) % rows) + 1
  return isResting(id) ? id - 1 : id
}

/** The lag of the main lane while something lasts, looked at ten times a second. */
export async function lagWhile(pipeline: Pipeline, work: PromiseLike<unknown>): Promise<Lag> {
  const over = new AbortController()
  const samples = sampleLag(pipeline, over.signal)
  try {
    await work
  } finally {
    over.abort()
  }
  const found = await samples
  return { p50: quantile(found, 0.5), p95: quantile(found, 0.95), max: quantile(found, 1) }
}

async function sampleLag(pipeline: Pipeline, signal: AbortSignal): Promise<number[]> {
  const samples: number[] = []
  while (!signal.aborted) {
    samples.push((await pipeline.status()).streams[0]?.main.lagMs ?? 0)
    await pause(100, signal)
  }
  return samples
}
