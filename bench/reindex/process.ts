/**
 * A process of the benchmark: `worker` runs until SIGTERM, `reindex HANDS` reindexes and prints what it came to, and
 * `verify` prints what `redstream verify` would.
 */
import { verifyIndex } from '../../src/verify/verify.ts'
import { cityDatabase, index, pipelineOf, type Place } from './place.ts'

const [role, hands = '4'] = process.argv.slice(2)
const place = JSON.parse(process.env['BENCH_PLACE'] ?? '{}') as Place
const pipeline = await pipelineOf(cityDatabase(place), place)
const stopping = new AbortController()
const { signal } = stopping
process.once('SIGTERM', () => stopping.abort())
switch (role) {
  case 'worker': {
    const runs = pipeline.workers(['consumer', 'delayer', 'trimmer']).map((one) => one.run(signal))
    process.stdout.write('ready\n')
    await Promise.all(runs)
    break
  }
  case 'reindex':
    print(await pipeline.reindexer(index).start({ keepOldMs: 0 }, { hands: Number(hands) }, signal))
    break
  case 'verify': {
    const scope = { kind: 'all' } as const
    const options = { scope, repair: false, examples: 10, patienceMs: 60_000, signal }
    print(await verifyIndex(pipeline.site(index), options))
    break
  }
  default:
    throw new Error(`there is no role "${role}"`)
}
await pipeline.close()
process.exit(0)

function print(result: unknown): void {
  process.stdout.write(`${JSON.stringify(result)}\n`)
}
