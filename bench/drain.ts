import { City, partitions, Place, Product, space } from './entities.ts'
import { rawBulk } from './raw-bulk.ts'
import { median, round } from './statistics.ts'
import type { Site } from './site.ts'

export interface DrainResult {
  readonly rows: number
  readonly partitions: number
  readonly rawBulkDocsPerSecond: number
  readonly docsPerSecond: number
  /** Of raw bulk: the median of the rounds' ratios, because the machine may be twice as fast in one as in another. */
  readonly ratio: number
  /** The highest of the first process of each drain. */
  readonly consumerPeakMiB: number | undefined
  /** Processor time of a consumer process that drains alone, its start included. */
  readonly consumerMicrosPerDocument: number | undefined
  /** One for each number of consumer processes. */
  readonly processes: Record<string, { docsPerSecond: number; ratio: number }>
}

export interface DrainOptions {
  readonly rounds: number
  /** How many consumer processes there are, one drain after the other. */
  readonly processes: readonly number[]
}

const entities = { cities: City, places: Place, products: Product }

/** Batches in flight: the product's default, and raw bulk's. */
const concurrency = 4

/**
 * A backlog of every row, indexed by one consumer process and by several, against bulk requests of the same documents:
 * one after the other, so that the noise of the machine meets all of them.
 */
export async function drain(
  site: Site,
  entity: keyof typeof entities,
  { rounds, processes }: DrainOptions,
): Promise<DrainResult> {
  const index = `${space}-${entity}`
  const raws: number[] = []
  const rates = new Map(processes.map((number) => [number, [] as number[]]))
  let peak: number | undefined
  const micros: number[] = []
  let rows = 0
  // One round more than is counted: an Elasticsearch that has just started is ten times slower while it compiles itself.
  for (let i = 0; i <= rounds; i++) {
    for (const [number, ofNumber] of rates) {
      await site.fresh()
      rows = await site.redstream.bulkQueue(entities[entity], {})
      const { docsPerSecond, peakMiB, cpuSeconds } = await drained(site, index, number, rows)
      peak = Math.max(peak ?? 0, peakMiB ?? 0) || undefined
      if (i === 0) continue
      ofNumber.push(docsPerSecond)
      if (number === 1 && cpuSeconds !== undefined) micros.push((cpuSeconds / rows) * 1e6)
    }
    const raw = await rawBulk(site.elasticsearch, index, `${space}-raw`, concurrency)
    if (i > 0) raws.push(raw)
  }
  const found = [...rates].map(([number, ofNumber]) => {
    const ratio = median(ofNumber.map((rate, i) => rate / raws[i]!))
    return [number, { docsPerSecond: Math.round(median(ofNumber)), ratio: round(ratio) }] as const
  })
  return {
    rows,
    partitions,
    rawBulkDocsPerSecond: Math.round(median(raws)),
    ...found[0]![1],
    consumerPeakMiB: peak === undefined ? undefined : Math.round(peak),
    consumerMicrosPerDocument: micros.length === 0 ? undefined : round(median(micros)),
    processes: Object.fromEntries(found),
  }
}

/** From the first batch that is given out until everything is acknowledged: the start of the process does not count. */
async function drained(
  site: Site,
  index: string,
  processes: number,
  rows: number,
): Promise<{ docsPerSecond: number; peakMiB: number | undefined; cpuSeconds: number | undefined }> {
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
  const [peakMiB, cpuSeconds] = await Promise.all([workers[0]!.peakMiB(), workers[0]!.cpuSeconds()])
  await Promise.all(workers.map((worker) => worker.stop()))
  return { docsPerSecond: rows / seconds, peakMiB, cpuSeconds }
}

/** Asking every 5 ms took more than a tenth of a core from what is measured. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 25))
}
