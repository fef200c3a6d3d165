import { City, Place, Product, space } from './entities.ts'
import { rawBulk } from './raw-bulk.ts'
import { median, round } from './statistics.ts'
import type { Site } from './site.ts'

export interface DrainResult {
  readonly rows: number
  readonly rawBulkDocsPerSecond: number
  readonly docsPerSecond: number
  /** Of raw bulk in the same run. */
  readonly ratio: number
  readonly consumerPeakMiB: number | undefined
  /** One for each number of consumer processes. */
  readonly processes: Record<string, { docsPerSecond: number; ratio: number }>
}

const entities = { cities: City, places: Place, products: Product }

/** Batches in flight: the product's default, and raw bulk's. */
const concurrency = 4

/**
 * A backlog of every row, indexed by one consumer process and by two, against bulk requests of the same documents:
 * one after the other, so that the noise of the machine meets all of them.
 */
export async function drain(site: Site, entity: keyof typeof entities, rounds: number): Promise<DrainResult> {
  const index = `${space}-${entity}`
  const rates: Record<'raw' | '1' | '2', number[]> = { raw: [], 1: [], 2: [] }
  let peak: number | undefined
  let rows = 0
  for (let i = 0; i < rounds; i++) {
    for (const processes of [1, 2] as const) {
      await site.fresh()
      rows = await site.redstream.bulkQueue(entities[entity], {})
      const { docsPerSecond, peakMiB } = await drained(site, index, processes, rows)
      rates[processes].push(docsPerSecond)
      if (processes === 1) peak = Math.max(peak ?? 0, peakMiB ?? 0) || undefined
    }
    rates.raw.push(await rawBulk(site.elasticsearch, index, `${space}-raw`, concurrency))
  }
  const raw = median(rates.raw)
  const of = (values: number[]): { docsPerSecond: number; ratio: number } => ({
    docsPerSecond: Math.round(median(values)),
    ratio: round(median(values) / raw),
  })
  return {
    rows,
    rawBulkDocsPerSecond: Math.round(raw),
    ...of(rates[1]),
    consumerPeakMiB: peak === undefined ? undefined : Math.round(peak),
    processes: { 1: of(rates[1]), 2: of(rates[2]) },
  }
}

/** From the first batch that is given out until everything is acknowledged: the start of the process does not count. */
async function drained(
  site: Site,
  index: string,
  processes: number,
  rows: number,
): Promise<{ docsPerSecond: number; peakMiB: number | undefined }> {
  const starting = Array.from({ length: processes }, () => site.start(`consumer --stream ${index}`))
  const left = async (): Promise<number> => {
    const { bulk } = await site.status(index)
    return bulk.undelivered + bulk.pending
  }
  while ((await left()) === rows && (await site.status(index)).bulk.pending === 0) await pause()
  const start = performance.now()
  while ((await left()) > 0) await pause()
  const seconds = (performance.now() - start) / 1_000
  const workers = await Promise.all(starting)
  const peakMiB = await workers[0]!.peakMiB()
  await Promise.all(workers.map((worker) => worker.stop()))
  return { docsPerSecond: rows / seconds, peakMiB }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5))
}
