import { City, space } from './entities.ts'
import { quantile, round } from './statistics.ts'
import type { Site } from './site.ts'

export interface LatencyResult {
  readonly writesPerSecond: number
  /** What was reached until the last commit; less than was asked for when the database could not keep up. */
  readonly reachedPerSecond: number
  readonly samples: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly p99Ms: number
}

/** As many writes are looked after each second, so that the looking does not become the load. */
const looksPerSecond = 50

/**
 * From the return of a commit until a GET by id answers the new state, at a steady rate of writes, with `redstream run`
 * as a process of its own.
 */
export async function latency(site: Site, writesPerSecond: number, seconds: number): Promise<LatencyResult> {
  const index = `${space}-cities`
  const ids = (
    await site.plain.getRepository(City).find({ select: { id: true }, order: { id: 'ASC' }, take: 10_000 })
  ).map(({ id }) => id)
  const times: number[] = []
  const looks: Promise<void>[] = []
  const repository = site.captured.getRepository(City)
  const writes = Math.round(writesPerSecond * seconds)
  const lookEvery = Math.max(1, Math.round(writesPerSecond / looksPerSecond))
  const start = performance.now()
  const pending: Promise<void>[] = []
  for (let i = 0; i < writes; i++) {
    const due = start + (i * 1_000) / writesPerSecond
    const wait = due - performance.now()
    if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait))
    const id = ids[i % ids.length]!
    const population = 10_000_000 + i
    const write = async (): Promise<void> => {
      await repository.save({ id, population })
      if (i % lookEvery === 0) looks.push(look(id, population, performance.now()))
    }
    pending.push(write())
  }
  await Promise.all(pending)
  const reached = writes / ((performance.now() - start) / 1_000)
  await Promise.all(looks)
  return resultOf(writesPerSecond, reached, times)

  async function look(id: number, population: number, since: number): Promise<void> {
    for (;;) {
      const found = await site.elasticsearch.get<{ population: number }>(
        { index, id: String(id), _source_includes: ['population'] },
        { ignore: [404] },
      )
      // A later write of the same row may have come first.
      if ((found._source?.population ?? -1) >= population) break
    }
    times.push(performance.now() - since)
  }
}

/** What of it is Elasticsearch alone: a bulk request of one document and a GET of it, one after the other. */
export async function rawLatency(
  { elasticsearch }: Site,
  writesPerSecond: number,
  seconds: number,
): Promise<LatencyResult> {
  const index = `${space}-raw`
  await elasticsearch.indices.create({ index, settings: { number_of_shards: 1, number_of_replicas: 0 } })
  const times: number[] = []
  const started = performance.now()
  for (let i = 0; i < writesPerSecond * seconds; i++) {
    await new Promise((resolve) => setTimeout(resolve, 1_000 / writesPerSecond))
    const start = performance.now()
    await elasticsearch.bulk({
      operations: [{ index: { _index: index, _id: String(i) } }, { population: i }],
    })
    await elasticsearch.get({ index, id: String(i) })
    times.push(performance.now() - start)
  }
  const reached = times.length / ((performance.now() - started) / 1_000)
  await elasticsearch.indices.delete({ index })
  return resultOf(writesPerSecond, reached, times)
}

function resultOf(writesPerSecond: number, reached: number, times: readonly number[]): LatencyResult {
  return {
    writesPerSecond,
    reachedPerSecond: round(reached),
    samples: times.length,
    p50Ms: round(quantile(times, 0.5)),
    p95Ms: round(quantile(times, 0.95)),
    p99Ms: round(quantile(times, 0.99)),
  }
}
