/**
 * Measures the product beside what it cannot do without: bulk requests of the same documents, the same saves without
 * Redstream. Every ratio is of figures of the same run. Method and cases: bench/README.md.
 */
import { writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'

import { Command, Option } from 'commander'

import { captureModes, type CaptureMode } from '../src/capture/modes.ts'
import { drain, type DrainOptions } from './drain.ts'
import { latency, rawLatency } from './latency.ts'
import { save, update } from './save.ts'
import { Site } from './site.ts'

type Case = (site: Site, options: DrainOptions) => Promise<unknown>

const cases: Record<string, Case> = {
  drain: (site, options) => drain(site, 'cities', options),
  places: (site, options) => drain(site, 'places', options),
  wide: (site, options) => drain(site, 'products', options),
  save: async (site) => ({ ...(await save(site, 'insert')), update: await save(site, 'update') }),
  transaction: async (site) => ({
    ...(await save(site, 'transaction of 100')),
    saveOf1000: await save(site, 'save of 1,000'),
  }),
  update: (site, { rounds }) => update(site, rounds),
  latency: async (site) => {
    await site.fresh()
    const worker = await site.start('run')
    const slow = await latency(site, 10, 20)
    const rates = { 100: await latency(site, 100, 10), 1000: await latency(site, 1_000, 5) }
    // Otherwise the outbox holds changes, and is not removed with them.
    await site.redstream.drained()
    await worker.stop()
    const { p50Ms, p95Ms, p99Ms } = slow
    return { p50Ms, p95Ms, p99Ms, raw: await rawLatency(site, 10, 20), perSecond: { 10: slow, ...rates } }
  },
}

const command = new Command('npm run bench --')
  .description('Measures drain, saves, transactions, updates and latency.')
  .option('--json <file>', 'write the figures to this file')
  .option('--rows <n>', 'cities in the table', '200000')
  .addOption(
    new Option('--capture <mode>', 'who tells of changes').choices(captureModes).default('subscriber'),
  )
  .option('--rounds <n>', 'repetitions of a drain', '3')
  .option('--processes <numbers>', 'consumer processes of a drain', '1,2')
  .option('--only <cases>', `some of ${Object.keys(cases).join(', ')}`, Object.keys(cases).join(','))
  .parse()
const options = command.opts<{
  json?: string
  rows: string
  rounds: string
  only: string
  processes: string
  capture: CaptureMode
}>()
const processes = options.processes.split(',').map(Number)
const progress = (line: string): void => void process.stderr.write(`${line}\n`)

const site = await Site.open(Number(options.rows), options.capture, progress)
try {
  const result: Record<string, unknown> = { cores: cpus().length, capture: options.capture }
  for (const name of options.only.split(',')) {
    const measure = cases[name]
    if (measure === undefined) throw new Error(`there is no case "${name}"; see --help`)
    progress(`measuring ${name}`)
    result[name] = await measure(site, { rounds: Number(options.rounds), processes })
    progress(JSON.stringify(result[name]))
  }
  const text = JSON.stringify(result, undefined, 2)
  if (options.json === undefined) process.stdout.write(`${text}\n`)
  else await writeFile(options.json, `${text}\n`)
} finally {
  await site.close()
}
