/** A process of the benchmark: `worker` runs until SIGTERM, `reindex HANDS` reindexes and prints what it came to. */
import { cityDatabase, index, pipelineOf, type Place } from './place.ts'

const [role, hands = '4'] = process.argv.slice(2)
const place = JSON.parse(process.env['BENCH_PLACE'] ?? '{}') as Place
const pipeline = await pipelineOf(cityDatabase(place), place)
const stopping = new AbortController()
process.once('SIGTERM', () => stopping.abort())
if (role === 'worker') {
  const runs = pipeline.workers(['consumer', 'delayer', 'trimmer']).map((one) => one.run(stopping.signal))
  process.stdout.write('ready\n')
  await Promise.all(runs)
} else {
  const wishes = { keepOldMs: 0 }
  const state = await pipeline.reindexer(index).start(wishes, { hands: Number(hands) }, stopping.signal)
  process.stdout.write(`${JSON.stringify(state)}\n`)
}
await pipeline.close()
process.exit(0)
